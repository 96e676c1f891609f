"""The answering end: every call is answered once, its handler runs once, and nothing is left of it."""

import asyncio
import random

import pytest

from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method
from meshgate_chassis.rpc.http2.frames import Frame
from meshgate_chassis.rpc.http2.headers import block
from meshgate_chassis.rpc.http2.messages import wrap
from tests.support.eventually import eventually
from tests.unit.chassis.http2.support import (
    ECHO,
    HANG,
    LISTEN,
    MANY,
    RawPeer,
    Running,
    codes,
    head,
    headers,
    on_both_loops,
    our_server,
)


async def status_of(peer: RawPeer, stream_id: int) -> str:
    """Of the trailers of a call."""
    while True:
        _, flags, _, payload = await peer.next(frames.HEADERS, stream_id)
        if flags & frames.END_STREAM:
            return dict(peer.decoder.decode(payload)).get("grpc-status", "none")


async def nothing_left(server: Running) -> None:
    """No call, task, timer or stream."""
    await eventually(lambda: not server.limit.count, "all calls are over")
    for connection in server.connections:
        assert 0 == connection.calls
        assert {} == dict(connection._waiting)


@pytest.mark.parametrize("tcp", [False, True])
@on_both_loops
async def test_a_call_is_answered_and_forgotten(tcp: bool) -> None:
    """Headers, message, status; nothing is left."""
    async with our_server(tcp=tcp) as server:
        peer = await server.raw()
        peer.call(1)
        assert wrap(b"x") == (await peer.next(frames.DATA, 1))[3]
        assert "0" == await status_of(peer, 1)
        await nothing_left(server)


@on_both_loops
async def test_a_second_end_of_a_request_does_not_start_its_handler_again() -> None:
    """A provider would be called, and paid, twice. What comes on a stream that ended, resets it."""
    async with our_server() as server:
        peer = await server.raw()
        again = frames.data(1, wrap(b"x"), end_stream=True)
        peer.call(1, HANG)
        peer.send(again, again)
        peer.call(3, HANG)
        peer.send(headers(3, block([("x", "y")]), end=True))
        found = await peer.quiet()
        assert [[frames.STREAM_CLOSED]] * 2 == [codes(found, stream_id) for stream_id in (1, 3)]
        await nothing_left(server)
        assert server.handlers.begun <= 2
        peer.call(5)
        assert "0" == await status_of(peer, 5)


@pytest.mark.parametrize(
    ("request_frames", "status"),
    [
        ([headers(1, head("/no.Such/Method"))], "12"),
        ([headers(1, head(ECHO, ("grpc-encoding", "gzip")))], "12"),
        ([headers(1, head(ECHO, ("grpc-timeout", "soon")))], "13"),
        ([headers(1, head(ECHO)), frames.data(1, b"\1\0\0\0\0", end_stream=True)], "13"),
        ([headers(1, head(ECHO)), frames.data(1, b"\0\x7f\xff\xff\xff", end_stream=False)], "8"),
        ([headers(1, head(ECHO)), frames.data(1, wrap(b"a") * 2, end_stream=True)], "13"),
        ([headers(1, head(ECHO)), frames.data(1, wrap(b"a") * 2, end_stream=False)], "13"),
        ([headers(1, head(ECHO)), frames.data(1, wrap(b"abc")[:-1], end_stream=True)], "13"),
        ([headers(1, head(ECHO)), frames.data(1, b"", end_stream=True)], "13"),
        ([headers(1, head(ECHO), end=True)], "13"),
        ([headers(1, head(LISTEN)), frames.data(1, wrap(b"abc")[:-1], end_stream=True)], "13"),
        ([headers(1, block([(":method", "GET")]), end=True)], "none"),
        ([headers(1, block([(":method", "POST"), ("content-type", "text/html")]), end=True)], "none"),
    ],
)
@on_both_loops
async def test_what_is_no_call_is_answered_with_its_status(request_frames: list[bytes], status: str) -> None:
    """And without a handler."""
    async with our_server() as server:
        peer = await server.raw()
        peer.send(*request_frames)
        assert status == await status_of(peer, 1)
        await nothing_left(server)
        peer.call(3)
        assert "0" == await status_of(peer, 3)


@on_both_loops
async def test_headers_that_break_a_rule_reset_their_stream_alone() -> None:
    """A forbidden name, a list that is too long, trailers that are no end."""
    async with our_server() as server:
        peer = await server.raw()
        peer.send(headers(1, head(ECHO) + b"\0\1A\1x"))
        peer.send(headers(3, head(ECHO, *[("n", "v" * 1_000)] * 130)))
        peer.call(5, LISTEN, None)
        peer.send(headers(5, block([("x", "y")])))
        peer.call(7)
        found = await peer.quiet()
        assert [frames.PROTOCOL_ERROR] == codes(found, 1)
        assert [frames.PROTOCOL_ERROR] == codes(found, 5)
        assert [frames.NO_ERROR] == codes(found, 3)  # behind an answer that says RESOURCE_EXHAUSTED
        assert "0" == await status_of(peer, 7)
        await nothing_left(server)


@pytest.mark.parametrize("end", ["reset", "close", "deadline", "server"])
@on_both_loops
async def test_a_handler_is_cancelled_once_with_its_call(end: str) -> None:
    """By the reset, the loss, the deadline or the server's end; and once, because it may be cleaning up."""
    cancelled: list[str] = []
    cleaned = asyncio.Event()

    async def careful(call: IncomingCall) -> None:
        try:
            await call.send(b"x" * 300_000)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(end)
            try:
                await cleaned.wait()
            except asyncio.CancelledError:
                cancelled.append("again")
            raise

    async with our_server({"/t.S/Careful": Method(careful)}) as server:
        peer = await server.raw()
        peer.call(1, "/t.S/Careful", b"x", "50m" if end == "deadline" else "")
        await eventually(lambda: server.limit.count, "it has begun")
        if end == "reset":
            peer.send(frames.rst_stream(1, frames.CANCEL))
        elif end == "close":
            peer.close()
        elif end == "server":
            server.connections[0].close()
        await eventually(lambda: cancelled, "it was cancelled")
        if end != "close":
            peer.send(frames.rst_stream(1, frames.CANCEL))
        server.connections[0].close()
        await eventually(lambda: server.lost, "the connection has ended")
        assert 1 == server.limit.count
        cleaned.set()
        await nothing_left(server)
        assert [end] == cancelled


@on_both_loops
async def test_a_deadline_ends_a_call_whose_answer_nobody_takes() -> None:
    """The handler has ended long ago; what it left in memory goes with the deadline."""
    async with our_server() as server:
        peer = await server.raw((frames.SETTINGS_INITIAL_WINDOW_SIZE, 10))
        peer.call(1, ECHO, b"x" * 10_000, "100m")
        peer.call(3, MANY, b"10000", "100m")
        assert ["4", "4"] == [await status_of(peer, stream_id) for stream_id in (1, 3)]
        await nothing_left(server)


@on_both_loops
async def test_a_handler_that_fails_or_forgets_is_answered_internal() -> None:
    """Every call is answered."""

    async def forgets(call: IncomingCall) -> None:
        pass

    async def fails(call: IncomingCall) -> None:
        raise RuntimeError("a defect")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with our_server({"/t.S/Forgets": Method(forgets), "/t.S/Fails": Method(fails)}) as server:
        peer = await server.raw()
        for stream_id, path in ((1, "/t.S/Forgets"), (3, "/t.S/Fails")):
            peer.call(stream_id, path)
            assert "13" == await status_of(peer, stream_id)
        assert 1 == len(told)
        await nothing_left(server)


@on_both_loops
async def test_calls_above_the_limit_are_refused_and_counted_until_they_are_over() -> None:
    """On one connection by REFUSED_STREAM, which is safe to try elsewhere; over all by RESOURCE_EXHAUSTED."""
    async with our_server(count_max=2) as server:
        first, second = await server.raw(), await server.raw()
        first.call(1, HANG)
        first.call(3, HANG, None)  # its request is not whole: it counts, too
        first.call(5, HANG)
        assert [frames.REFUSED_STREAM] == codes(await first.quiet(), 5)
        second.call(1, HANG)
        assert "8" == await status_of(second, 1)
        first.send(frames.rst_stream(1, frames.CANCEL), frames.rst_stream(3, frames.CANCEL))
        await nothing_left(server)
        assert 1 == server.handlers.begun
        second.call(3)
        assert "0" == await status_of(second, 3)


@on_both_loops
async def test_a_graceful_leave_answers_what_has_begun_and_refuses_what_comes_later() -> None:
    """Two GOAWAYs: the second says which call was the last that began."""
    async with our_server() as server:
        peer = await server.raw()
        peer.call(1, HANG)
        await peer.quiet()
        server.connections[0].go_away()
        assert (2**31 - 1).to_bytes(4, "big") == (await peer.next(frames.GOAWAY))[3][:4]
        question = (await peer.next(frames.PING))[3]
        peer.call(3)  # on its way before the client heard
        assert "0" == await status_of(peer, 3)
        peer.send(frames.ping(question, ack=True))
        assert (3).to_bytes(4, "big") == (await peer.next(frames.GOAWAY))[3][:4]
        peer.call(5)
        assert [frames.REFUSED_STREAM] == codes(await peer.quiet(), 5)
        server.handlers.let_go.set()
        assert "0" == await status_of(peer, 1)
        assert [] == await peer.rest()
        await eventually(lambda: server.lost, "it has left")
        assert (2, 0) == (server.handlers.begun, server.limit.count)


def requests_of(chance: random.Random, stream_id: int) -> list[bytes]:
    """The frames of one call, well-formed or not, in their order."""
    path = chance.choice([ECHO, HANG, LISTEN, MANY, "/no/Method"])
    timeout = [("grpc-timeout", "30m")] if chance.random() < 0.3 else []
    parts = [headers(stream_id, head(path, *timeout))]
    message = wrap(b"50")
    for _ in range(chance.randrange(3)):
        cut = chance.randrange(1, len(message))
        parts.append(frames.data(stream_id, message[:cut], end_stream=False))
        parts.append(frames.data(stream_id, message[cut:], end_stream=chance.random() < 0.6))
    if chance.random() < 0.4:
        parts.append(frames.window_update(stream_id, 1 + chance.randrange(100)))
    if chance.random() < 0.4:
        parts.append(frames.rst_stream(stream_id, frames.CANCEL))
    return parts


def ends(found: list[Frame]) -> dict[int, int]:
    """How often each stream ended."""
    counts: dict[int, int] = {}
    for kind, flags, stream_id, _ in found:
        if kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM:
            counts[stream_id] = counts.get(stream_id, 0) + 1
    return counts


@pytest.mark.parametrize("seed", range(30))
@on_both_loops
async def test_every_call_is_answered_at_most_once_whatever_the_order_of_frames(seed: int) -> None:
    """Frames of many calls in any mixture, then a graceful leave or a loss: no second answer, nothing left,
    and never a connection that fails."""
    chance = random.Random(seed)
    async with our_server() as server:
        window = chance.choice([0, 50, 65_535])
        peer = await server.raw((frames.SETTINGS_INITIAL_WINDOW_SIZE, window))
        calls = {stream_id: requests_of(chance, stream_id) for stream_id in range(1, 41, 2)}
        for stream_id in list(calls):  # they open in order
            peer.send(calls[stream_id].pop(0))
        while calls := {stream_id: parts for stream_id, parts in calls.items() if parts}:
            peer.send(calls[chance.choice(list(calls))].pop(0))
            if chance.random() < 0.2:
                await asyncio.sleep(0)
            if chance.random() < 0.1:
                peer.send(
                    frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: chance.choice([0, 7, 90_000])})
                )
        found = await peer.quiet()
        server.handlers.let_go.set()
        peer.send(frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 90_000}))
        found += await peer.quiet()
        peer.close()
        await eventually(lambda: server.lost, "it is gone")
        await nothing_left(server)
        assert {1} >= set(ends(found).values())
        assert [] == [frame for frame in found if frame[0] == frames.GOAWAY]


@on_both_loops
async def test_a_client_that_asks_for_no_table_is_told_that_none_is_used() -> None:
    """RFC 7541, 4.2: the next block says so, and no other."""
    async with our_server() as server:
        peer = await server.raw((frames.SETTINGS_HEADER_TABLE_SIZE, 0))
        blocks = []
        for stream_id in (1, 3):
            peer.call(stream_id)
            blocks.append((await peer.next(frames.HEADERS, stream_id))[3])
            await status_of(peer, stream_id)
        assert [b"\x20" + statuses.ANSWER_HEADERS, statuses.ANSWER_HEADERS] == blocks
