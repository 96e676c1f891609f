"""Peers that break rules, flood, hang or vanish: each is told or left, and costs a bounded amount."""

import asyncio

import pytest

from meshgate_chassis.rpc.http2 import connection, frames
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method
from meshgate_chassis.rpc.http2.frames import CLIENT_PREFACE
from meshgate_chassis.rpc.http2.limits import CONTINUATIONS_MAX, CONTROL_FRAMES_MAX, Times
from tests.support.eventually import eventually
from tests.unit.chassis.http2.support import (
    CALL_S,
    ECHO,
    HANG,
    all_of,
    connect,
    head,
    headers,
    on_both_loops,
    our_server,
    raw_server,
)

RESETS = 1_000  # instead of more, which take long
UNSENT_BYTES = 500_000  # instead of many megabytes, which take long to ask for
QUICK = Times(handshake_s=0.1, look_s=0.05, silent_until_ping_s=0.1, silent_until_gone_s=0.2, linger_s=0.1)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frames.frame(frames.SETTINGS, 0, 1, b""), frames.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"\0" * 5), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, frames.ACK, 0, b"\0" * 6), frames.FRAME_SIZE_ERROR),
        (frames.settings({4: 2**31}), frames.FLOW_CONTROL_ERROR),
        (frames.settings({5: 1}), frames.PROTOCOL_ERROR),
        (frames.frame(frames.PING, 0, 0, b"\0" * 7), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 1, b"\0" * 8), frames.PROTOCOL_ERROR),
        (frames.frame(frames.RST_STREAM, 0, 1, b"\0" * 3), frames.FRAME_SIZE_ERROR),
        (frames.rst_stream(0, 8), frames.PROTOCOL_ERROR),
        (frames.rst_stream(7, 8), frames.PROTOCOL_ERROR),
        (frames.frame(frames.GOAWAY, 0, 0, b"\0" * 7), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.WINDOW_UPDATE, 0, 0, b"\0" * 3), frames.FRAME_SIZE_ERROR),
        (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(7, 1), frames.PROTOCOL_ERROR),
        (frames.data(0, b"", end_stream=False), frames.PROTOCOL_ERROR),
        (frames.data(7, b"", end_stream=False), frames.PROTOCOL_ERROR),
        (headers(0, b"\x82"), frames.PROTOCOL_ERROR),
        (headers(2, b"\x82"), frames.PROTOCOL_ERROR),
        (headers(1, b"\xff\xff\xff"), frames.COMPRESSION_ERROR),
        (frames.frame(frames.HEADERS, 0, 1, b"\x82") + frames.ping(b"x" * 8), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 0, 1, b"\x82") + headers(3, b"\x82"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.CONTINUATION, 4, 1, b"\x82"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 4 | 8, 1, b"\x09\x82"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, 0, 1, b"\0" * 65_537), frames.FRAME_SIZE_ERROR),
    ],
)
@on_both_loops
async def test_what_rfc_9113_forbids_ends_the_connection_with_its_code(sent: bytes, code: int) -> None:
    """And nothing that comes behind it is looked at: GOAWAY said so."""
    async with our_server() as server:
        peer = await server.raw()
        peer.send(sent, headers(9, head(HANG)))
        assert code == await peer.goaway_code()
        await eventually(lambda: server.lost, "it is gone")
        assert 0 == server.handlers.begun


FLOODS = {
    "pings": frames.ping(b"x" * 8),
    "settings": frames.settings({}),
    "empty data": frames.data(1, b"", end_stream=False),
    "unknown": frames.frame(0xEE, 0, 0, b""),
    "priorities": frames.frame(frames.PRIORITY, 0, 1, b"\0" * 5),
}


@pytest.mark.parametrize("flood", FLOODS)
@on_both_loops
async def test_a_flood_ends_the_connection(flood: str) -> None:
    """ENHANCE_YOUR_CALM."""
    async with our_server() as server:
        peer = await server.raw()
        peer.call(1, HANG, None)
        peer.send(FLOODS[flood] * (CONTROL_FRAMES_MAX + 1))
        assert frames.ENHANCE_YOUR_CALM == await peer.goaway_code()
        await eventually(lambda: server.lost and not server.limit.count, "it is gone")


@on_both_loops
async def test_headers_in_too_many_pieces_end_the_connection() -> None:
    """However short the pieces are."""
    async with our_server() as server:
        peer = await server.raw()
        peer.send(frames.frame(frames.HEADERS, 0, 1, b""))
        peer.send(frames.frame(frames.CONTINUATION, 0, 1, b"") * CONTINUATIONS_MAX)
        assert frames.ENHANCE_YOUR_CALM == await peer.goaway_code()


@on_both_loops
async def test_opening_and_resetting_as_fast_as_possible_runs_few_handlers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more than the limit, even when they take their time to end; then the connection ends."""
    monkeypatch.setattr(connection, "CONTROL_FRAMES_MAX", RESETS)
    most = 0

    async def slow_to_leave(call: IncomingCall) -> None:
        nonlocal most
        most = max(most, server.limit.count)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await server.handlers.let_go.wait()
            raise

    async with our_server({"/t.S/Slow": Method(slow_to_leave)}, count_max=50) as server:
        peer = await server.raw()
        for stream_id in range(1, 2 * RESETS + 3, 2):
            peer.call(stream_id, "/t.S/Slow")
            peer.send(frames.rst_stream(stream_id, frames.CANCEL))
            if stream_id % 101 == 0:
                await asyncio.sleep(0)
        await eventually(lambda: server.lost, "the connection has ended")
        assert most <= 50
        assert len(server.connections[0]._running) <= 50
        server.handlers.let_go.set()
        await eventually(lambda: not server.limit.count, "they have ended")


@pytest.mark.parametrize("asked", ["unknown methods", "pings", "calls above the limit"])
@on_both_loops
async def test_a_peer_that_asks_and_never_reads_is_left(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asked for fills its socket, then a bounded buffer of ours; then it is gone."""
    monkeypatch.setattr(connection, "UNSENT_BYTES_MAX", UNSENT_BYTES)
    async with our_server(times=QUICK._replace(look_s=100.0), count_max=1) as server:
        peer = await server.raw()
        await peer.next(frames.SETTINGS)
        peer.writer.transport.pause_reading()
        peer.call(1, HANG)
        stream_id, sent = 3, 0
        block = head("/no.Such/Method") if asked == "unknown methods" else head(ECHO)
        while not server.lost:
            if asked == "pings":
                peer.send(frames.ping(b"x" * 8) * 200)
            else:
                peer.send(b"".join([headers(stream_id + 2 * each, block) for each in range(2_000)]))
                stream_id += 4_000
            try:
                await peer.writer.drain()
            except ConnectionError:
                break
            sent += 1
            assert sent < 2_000
            for each in server.connections:
                assert each._transport is not None
                assert each._transport.get_write_buffer_size() <= 4 * UNSENT_BYTES
        await eventually(lambda: server.lost and not server.limit.count, "it is gone, and its calls")


@on_both_loops
async def test_last_words_that_nobody_reads_do_not_keep_a_connection() -> None:
    """Handlers are cancelled, and the socket is closed, although the peer takes nothing."""

    async def endless(call: IncomingCall) -> None:
        while True:
            await call.send(b"x" * 60_000)

    async with our_server({"/t.S/Endless": Method(endless)}, times=QUICK._replace(look_s=100.0)) as server:
        peer = await server.raw((frames.SETTINGS_INITIAL_WINDOW_SIZE, 2**31 - 1))
        peer.writer.transport.pause_reading()
        peer.send(frames.window_update(0, 2**30))
        peer.call(1, "/t.S/Endless")
        await eventually(lambda: server.connections and server.connections[0]._full, "its socket is full")
        peer.send(frames.window_update(0, 0))
        await eventually(lambda: server.lost and not server.limit.count, "it was left")


@pytest.mark.parametrize("said", [b"", CLIENT_PREFACE[:5], CLIENT_PREFACE, CLIENT_PREFACE + b"\0\0\0\4"])
@on_both_loops
async def test_a_client_that_never_speaks_is_left(said: bytes) -> None:
    """After HANDSHAKE_S, whatever part it said."""
    async with our_server(times=QUICK) as server:
        peer = await connect(server.address)
        peer.send(said)
        await peer.rest()
        assert peer.closed
        peer.close()


@on_both_loops
async def test_another_protocol_is_told() -> None:
    """HTTP/1 is no preface, nor is a preface without settings behind it."""
    async with our_server() as server:
        for said in (b"GET / HTTP/1.1\r\n\r\n", CLIENT_PREFACE + frames.ping(b"x" * 8)):
            peer = await connect(server.address)
            peer.send(said)
            assert frames.PROTOCOL_ERROR == await peer.goaway_code()
            peer.close()


@on_both_loops
async def test_a_silent_peer_is_given_up_only_when_it_does_not_answer_pings() -> None:
    """And only while calls are under way."""
    async with raw_server(times=QUICK) as (peer, client):
        stream = client.call(head(ECHO), b"", CALL_S)
        for _ in range(4):  # each is half of what it may be silent for
            peer.send(frames.ping((await peer.next(frames.PING))[3], ack=True))
        peer.answer(stream.id, b"late")
        assert b"late" == await stream.answer()
        looks = client._housekeeping
        await eventually(lambda: client._housekeeping is not looks, "nobody waits, and nobody asks")
        assert client.usable
        waiting = asyncio.create_task(all_of(client.call(head(ECHO), b"", CALL_S)))
        await peer.next(frames.PING)
        with pytest.raises(Exception, match="silent"):
            await waiting
        assert client.closed


@on_both_loops
async def test_a_server_gives_up_a_client_that_vanished_during_a_call() -> None:
    """Its handler is cancelled: it may be costing money."""
    async with our_server(times=QUICK) as server:
        peer = await server.raw()
        peer.call(1, HANG)
        await eventually(lambda: server.handlers.cancelled, "it was cancelled")
        idle = await server.raw()
        await idle.quiet()
        looks = server.connections[1]._housekeeping
        await eventually(lambda: server.connections[1]._housekeeping is not looks, "it was looked at")
        assert not server.connections[1].closed
