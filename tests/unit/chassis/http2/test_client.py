"""The calling end: every call ends once, and tells rightly whether it may have been carried out."""

import asyncio
import random

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.client import ClientConnection, ClientStream
from meshgate_chassis.rpc.http2.headers import block
from meshgate_chassis.rpc.http2.messages import wrap
from tests.support.eventually import eventually
from tests.unit.chassis.http2.support import (
    CALL_S,
    ECHO,
    RawPeer,
    all_of,
    codes,
    head,
    headers,
    on_both_loops,
    raw_server,
)


async def failure_of(stream: ClientStream) -> MeshError:
    with pytest.raises(MeshError) as raised:
        await stream.answer()
    return raised.value


async def begun(peer: RawPeer, client: ClientConnection, message: bytes = b"x") -> ClientStream:
    """A call of which the peer has the headers."""
    stream = client.call(head(ECHO), message, CALL_S)
    await peer.next(frames.HEADERS, stream.id)
    return stream


@pytest.mark.parametrize("tcp", [False, True])
@on_both_loops
async def test_an_answer_is_its_message(tcp: bool) -> None:
    """Headers, one message, status OK."""
    async with raw_server(tcp=tcp) as (peer, client):
        stream = await begun(peer, client)
        peer.answer(stream.id, b"hello")
        assert b"hello" == await stream.answer()
        assert not stream.refused


@on_both_loops
async def test_refused_is_said_only_of_calls_that_never_began() -> None:
    """REFUSED_STREAM and GOAWAY tell so, unless the answer had begun: then nobody knows."""
    async with raw_server() as (peer, client):
        fresh, answering, informed = [await begun(peer, client) for _ in range(3)]
        peer.answer_headers(answering.id)
        peer.send(headers(informed.id, block([(":status", "103")])))
        for stream in (fresh, answering, informed):
            peer.send(frames.rst_stream(stream.id, frames.REFUSED_STREAM))
        failures = [await failure_of(stream) for stream in (fresh, answering, informed)]
        assert [True, False, False] == [stream.refused for stream in (fresh, answering, informed)]
        assert ["SERVICE_UNREACHABLE", "CONNECTION_LOST", "CONNECTION_LOST"] == [e.reason for e in failures]

        below, above, answered = [await begun(peer, client) for _ in range(3)]
        peer.answer_headers(answered.id)
        peer.send(frames.goaway(below.id, frames.NO_ERROR))
        assert "SERVICE_UNREACHABLE" == (await failure_of(above)).reason
        assert "CONNECTION_LOST" == (await failure_of(answered)).reason
        assert (True, False) == (above.refused, answered.refused)
        assert not client.usable
        peer.answer(below.id, b"still answered")
        assert b"still answered" == await below.answer()
        await client.gone


@on_both_loops
async def test_a_second_goaway_may_give_up_more() -> None:
    """The last stream of the first GOAWAY is the largest there can be; of the second, the one that began."""
    async with raw_server() as (peer, client):
        first, second = await begun(peer, client), await begun(peer, client)
        peer.send(frames.goaway(2**31 - 1, frames.NO_ERROR))
        await eventually(lambda: client.going_away, "it heard of it")
        peer.send(frames.goaway(first.id, frames.NO_ERROR))
        await failure_of(second)
        peer.answer(first.id, b"1")
        assert b"1" == await first.answer()
        assert (False, True) == (first.refused, second.refused)
        await client.gone


@pytest.mark.parametrize("failed_write", [False, True])
@on_both_loops
async def test_a_call_that_never_left_is_refused_and_one_that_left_is_lost(failed_write: bool) -> None:
    """Money: what left may have been carried out; what did not, was not, and may go elsewhere."""
    async with raw_server() as (peer, client):
        left = await begun(peer, client)
        transport = client._transport
        assert transport is not None
        if failed_write:
            unsent = client.call(head(ECHO), b"x", CALL_S)
            transport.abort()
        else:  # the transport knows that it ends, and nobody told the connection yet
            transport.abort()
            unsent = client.call(head(ECHO), b"x", CALL_S)
        assert "CONNECTION_LOST" == (await failure_of(left)).reason
        assert "SERVICE_UNREACHABLE" == (await failure_of(unsent)).reason
        assert (False, True) == (left.refused, unsent.refused)


@on_both_loops
async def test_a_call_that_ended_before_the_loss_is_not_refused_by_it() -> None:
    """A cancelled call must not be made again by who is told that it was refused."""
    async with raw_server() as (_, client):
        stream = client.call(head(ECHO), b"x", CALL_S)
        stream.cancel()
        assert client._transport is not None
        client._transport.abort()
        await client.gone
        assert Code.CANCELLED is (await failure_of(stream)).code
        assert not stream.refused


@on_both_loops
async def test_a_connection_that_the_peer_closes_takes_no_more_calls_at_once() -> None:
    """Not even while the last bytes leave: they would be lost, and nobody could tell whether they were."""
    async with raw_server() as (peer, client):
        changes: list[bool] = []
        client.on_change = lambda: changes.append(client.usable)
        peer.close()
        await eventually(lambda: changes, "it was told")
        assert [False] == changes[:1]
        await client.gone


@on_both_loops
async def test_a_peer_that_breaks_a_rule_ends_the_calls_with_the_reason() -> None:
    """And the connection takes no more of them, although its last words are still on their way."""
    async with raw_server() as (peer, client):
        stream = await begun(peer, client)
        peer.send(frames.frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, b"\0\0\0\2"))
        failure = await failure_of(stream)
        assert ("CONNECTION_LOST", False) == (failure.reason, stream.refused)
        assert "pushed" in failure.message
        assert not client.usable
        assert frames.PROTOCOL_ERROR == await peer.goaway_code()


@on_both_loops
async def test_a_failure_is_told_each_time_it_is_asked_for() -> None:
    """Who asks again after a failure must not hear that all went well."""
    async with raw_server() as (peer, client):
        stream = await begun(peer, client)
        peer.send(headers(stream.id, statuses.trailers(5, "no", [], only=True), end=True))
        for _ in range(2):
            with pytest.raises(MeshError, match="no"):
                await stream.next()


@pytest.mark.parametrize("whole_headers", [True, False])
@on_both_loops
async def test_an_answer_that_ends_within_a_message_did_not_go_well(whole_headers: bool) -> None:
    """Status OK or none: a stream that was cut is no end."""
    async with raw_server() as (peer, client):
        stream = await begun(peer, client)
        peer.answer_headers(stream.id)
        peer.send(frames.data(stream.id, wrap(b"one") + wrap(b"two")[:6], end_stream=not whole_headers))
        if whole_headers:
            peer.send(headers(stream.id, statuses.OK_TRAILERS, end=True))
        assert b"one" == await stream.next()
        with pytest.raises(MeshError):
            await stream.next()


@on_both_loops
async def test_frames_that_no_answer_has_end_the_call_alone() -> None:
    """Data before headers, headers within an answer, a name that HTTP/2 forbids: INTERNAL, and a reset."""
    async with raw_server() as (peer, client):
        early, twice, bad = [await begun(peer, client) for _ in range(3)]
        peer.send(frames.data(early.id, wrap(b"x"), end_stream=False))
        peer.answer_headers(twice.id)
        peer.answer_headers(twice.id)
        peer.send(headers(bad.id, b"\0\1A\1x"))
        assert [Code.INTERNAL] * 3 == [(await failure_of(each)).code for each in (early, twice, bad)]
        found = await peer.quiet()
        for stream in (early, twice, bad):
            assert [frames.CANCEL] == codes(found, stream.id)
            assert not stream.refused
        assert client.usable


@on_both_loops
async def test_statuses_are_those_of_grpc() -> None:
    """Trailers-only, HTTP's own statuses, resets: each has one code."""
    async with raw_server() as (peer, client):
        answers = {
            Code.NOT_FOUND: headers(0, statuses.trailers(5, "x", [], only=True), end=True)[9:],
            Code.UNAUTHENTICATED: block([(":status", "401")]),
            Code.UNAVAILABLE: block([(":status", "503")]),
            Code.UNKNOWN: block([(":status", "200"), ("grpc-status", "9" * 5_000)]),
        }
        for code, answer in answers.items():
            stream = await begun(peer, client)
            peer.send(headers(stream.id, answer, end=True))
            assert code is (await failure_of(stream)).code
        for code, error in ((Code.CANCELLED, 8), (Code.RESOURCE_EXHAUSTED, 11), (Code.INTERNAL, 2)):
            stream = await begun(peer, client)
            peer.send(frames.rst_stream(stream.id, error))
            assert code is (await failure_of(stream)).code
            assert not stream.refused
        stream = await begun(peer, client)
        peer.send(headers(stream.id, block([(":status", "200"), ("content-type", "text/html")])))
        assert Code.UNKNOWN is (await failure_of(stream)).code


@on_both_loops
async def test_informational_headers_padding_and_what_nobody_knows_are_passed_over() -> None:
    """The answer behind them counts."""
    async with raw_server() as (peer, client):
        stream = await begun(peer, client)
        peer.send(headers(stream.id, block([(":status", "100")])))
        peer.send(frames.frame(0xBE, 0xFF, stream.id, b"???"), frames.frame(frames.PRIORITY, 0, 1, b"\0" * 5))
        flags = frames.END_HEADERS | frames.PADDED | frames.PRIORITY_FLAG
        padded = b"\3" + b"\0" * 5 + statuses.ANSWER_HEADERS + b"\0" * 3
        peer.send(frames.frame(frames.HEADERS, flags, stream.id, padded))
        peer.send(frames.frame(frames.DATA, frames.PADDED, stream.id, b"\2" + wrap(b"hi") + b"\0\0"))
        peer.send(frames.frame(frames.HEADERS, frames.END_STREAM, stream.id, statuses.OK_TRAILERS[:3]))
        peer.send(frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream.id, statuses.OK_TRAILERS[3:]))
        assert b"hi" == await stream.answer()


@on_both_loops
async def test_an_answer_before_the_request_has_left_ends_the_call() -> None:
    """What is left of the request is not sent, and the peer is told."""
    async with raw_server() as (peer, client):
        stream = await begun(peer, client, b"x" * 1_000_000)
        peer.send(headers(stream.id, statuses.trailers(8, "too long", [], only=True), end=True))
        assert Code.RESOURCE_EXHAUSTED is (await failure_of(stream)).code
        found = await peer.quiet()
        assert [frames.CANCEL] == codes(found, stream.id)
        assert sum(len(payload) for kind, _, _, payload in found if kind == frames.DATA) <= 65_535
        second = await begun(peer, client, b"y" * 1_000_000)
        peer.answer_headers(second.id)
        peer.send(frames.data(second.id, b"", end_stream=True))
        assert Code.UNAVAILABLE is (await failure_of(second)).code
        assert [frames.CANCEL] == codes(await peer.quiet(), second.id)


@pytest.mark.parametrize("size", [1, 10_000_000])
@on_both_loops
async def test_a_deadline_ends_a_call_even_while_its_request_leaves(size: int) -> None:
    """DEADLINE_EXCEEDED; the peer is told; nothing waits any more."""
    async with raw_server() as (peer, client):
        stream = client.call(head(ECHO), b"x" * size, 0.05)
        assert Code.DEADLINE_EXCEEDED is (await failure_of(stream)).code
        await peer.next(frames.RST_STREAM, stream.id)
        assert (0, 0) == (client.calls, len(client._waiting))
        assert not stream.refused


@on_both_loops
async def test_no_more_calls_than_the_peer_takes() -> None:
    """Its limit may come late and may change; who owns the connection is told of each change."""
    async with raw_server((frames.SETTINGS_MAX_CONCURRENT_STREAMS, 1)) as (peer, client):
        changes: list[bool] = []
        client.on_change = lambda: changes.append(client.usable)
        stream = await begun(peer, client)
        assert not client.usable
        peer.answer(stream.id, b"")
        await stream.answer()
        assert client.usable
        peer.send(frames.settings({frames.SETTINGS_MAX_CONCURRENT_STREAMS: 0}))
        await eventually(lambda: not client.usable, "none is allowed now")
        assert [True, False] == changes


@pytest.mark.parametrize("seed", range(30))
@on_both_loops
async def test_every_call_ends_once_whatever_the_order_of_events(seed: int) -> None:
    """Answers, resets, GOAWAY, cancellations, deadlines and losses, in any order: one end for each call, and
    nothing is left of any."""
    chance = random.Random(seed)
    async with raw_server() as (peer, client):
        reading = asyncio.create_task(peer.rest())
        streams = [
            client.call(head(ECHO), b"x" * chance.choice([1, 90_000]), chance.choice([0.02, CALL_S]))
            for _ in range(12)
        ]
        waiting = [asyncio.create_task(all_of(stream)) for stream in streams]

        def act(stream: ClientStream) -> None:
            {
                0: lambda: peer.answer(stream.id, b"a", b"b"),
                1: lambda: peer.answer_headers(stream.id),
                2: lambda: peer.send(frames.rst_stream(stream.id, chance.choice([0, 2, 7, 8]))),
                3: stream.cancel,
                4: lambda: peer.send(
                    frames.data(stream.id, wrap(b"c")[: chance.randrange(7)], end_stream=False)
                ),
                5: lambda: peer.send(headers(stream.id, statuses.OK_TRAILERS, end=True)),
                6: lambda: peer.send(frames.window_update(stream.id, 1_000)),
                7: lambda: None,
            }[chance.randrange(8)]()

        for _ in range(60):
            act(chance.choice(streams))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        if chance.random() < 0.5:
            peer.send(frames.goaway(chance.randrange(1, 25, 2), frames.NO_ERROR))
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            client.close()
        else:
            peer.close()
        await client.gone
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), CALL_S)
        assert [] == [r for r in results if not isinstance(r, MeshError | list)]
        assert (0, 0) == (client.calls, len(client._waiting))
        assert all(stream._timer is None or stream._timer.cancelled() for stream in streams)
        await reading
