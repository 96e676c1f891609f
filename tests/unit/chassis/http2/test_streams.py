"""Windows: nothing is sent beyond them, nothing is stuck in them, and nobody is held up by another's."""

import asyncio
import random

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method
from meshgate_chassis.rpc.http2.frames import Frame
from meshgate_chassis.rpc.http2.limits import (
    SEND_BUFFER_BYTES_MAX,
    STREAM_WINDOW_BYTES,
    TURN_BYTES_MAX,
)
from meshgate_chassis.rpc.http2.messages import wrap
from tests.support.eventually import eventually
from tests.unit.chassis.http2.support import (
    CALL_S,
    ECHO,
    LISTEN,
    MANY,
    all_of,
    head,
    on_both_loops,
    our_server,
    raw_server,
)

WINDOW = frames.SETTINGS_INITIAL_WINDOW_SIZE
BIG = "/t.S/Big"


def data_bytes(found: list[Frame], stream_id: int) -> int:
    """Of the data of a stream."""
    return sum(len(payload) for kind, _, of, payload in found if kind == frames.DATA and of == stream_id)


@on_both_loops
async def test_nothing_is_sent_beyond_windows_that_shrink_below_zero_and_grow_again() -> None:
    """Settings change the windows of streams under way; what is missing comes when there is room."""
    async with our_server() as server:
        peer = await server.raw((WINDOW, 100))
        peer.call(1, ECHO, b"x" * 1_000)
        await peer.next(frames.SETTINGS)
        found = await peer.quiet()
        sent = data_bytes(found, 1)
        while sent < 100:
            sent += len((await peer.next(frames.DATA, 1))[3])
        assert 100 == sent
        peer.send(frames.settings({WINDOW: 10}))  # now it is -90
        peer.send(frames.window_update(1, 90))  # and now 0
        assert 0 == data_bytes(await peer.quiet(), 1)
        peer.send(frames.settings({WINDOW: 15}))
        assert 5 == data_bytes(await peer.quiet(), 1)
        peer.send(frames.window_update(1, 10_000))
        assert 900 == data_bytes(await peer.quiet(), 1)


@pytest.mark.parametrize("seed", range(10))
@on_both_loops
async def test_a_sender_keeps_to_all_windows_at_any_time(seed: int) -> None:
    """Random windows, settings and updates: never a byte too many, and all of it in the end."""
    chance = random.Random(seed)
    sizes = {1: 3_000, 3: 50_000, 5: 200_000}

    async def send(call: IncomingCall) -> None:
        await call.send(b"x" * int(call.request))
        call.finish(0)

    async with our_server({BIG: Method(send)}) as server:
        initial, shared = chance.choice([0, 1, 500]), 65_535
        peer = await server.raw((WINDOW, initial))
        for stream_id, size in sizes.items():
            peer.call(stream_id, BIG, b"%d" % size)
        windows = dict.fromkeys(sizes, initial)
        missing = {stream_id: 5 + size for stream_id, size in sizes.items()}
        while any(missing.values()):
            match chance.randrange(3):
                case 0:
                    changed = chance.choice([0, 7, 5_000, 40_000])
                    peer.send(frames.settings({WINDOW: changed}))
                    windows = {each: window + changed - initial for each, window in windows.items()}
                    initial = changed
                case 1:
                    stream_id, more = chance.choice(list(sizes)), chance.choice([1, 1_000, 60_000])
                    peer.send(frames.window_update(stream_id, more))
                    windows[stream_id] += more
                case 2:
                    peer.send(frames.window_update(0, 20_000))
                    shared += 20_000
            for kind, _, stream_id, payload in await peer.quiet():
                if kind == frames.DATA and payload:
                    windows[stream_id] -= len(payload)
                    shared -= len(payload)
                    missing[stream_id] -= len(payload)
                    assert windows[stream_id] >= 0
                    assert shared >= 0
        await eventually(lambda: not server.limit.count, "all are over")


@pytest.mark.parametrize("tcp", [False, True])
@on_both_loops
async def test_large_messages_go_both_ways(tcp: bool) -> None:
    """Many windows long, several at a time, with small ones between them."""
    async with our_server(tcp=tcp) as server:
        client = await server.client()
        sizes = [10, 5_000_000, 0, 1_000_000, STREAM_WINDOW_BYTES, 77]
        streams = [client.call(head(ECHO), b"x" * size, CALL_S) for size in sizes]
        assert sizes == [len(await stream.answer()) for stream in streams]
        assert 5_000 == len(await all_of(client.call(head(MANY), b"5000", CALL_S)))


@on_both_loops
async def test_a_slow_reader_of_one_stream_does_not_hold_up_another() -> None:
    """It holds up its own sender, whose buffer and whose window stay within their limits."""
    sent = 0

    async def endless(call: IncomingCall) -> None:
        nonlocal sent
        while True:
            await call.send(b"x" * 1_000)
            sent += 1

    async with our_server({BIG: Method(endless)}) as server:
        client = await server.client()
        slow = client.call(head(BIG), b"", CALL_S)
        assert await slow.next() is not None
        for _ in range(50):
            assert b"y" * 100_000 == await client.call(head(ECHO), b"y" * 100_000, CALL_S).answer()
        assert sent * 1_000 <= STREAM_WINDOW_BYTES + SEND_BUFFER_BYTES_MAX + 10_000
        before = sent
        for _ in range(400):
            assert await slow.next() is not None
        await eventually(lambda: sent > before, "it goes on")
        slow.cancel()
        await eventually(lambda: not server.limit.count, "its handler was cancelled")


@on_both_loops
async def test_a_large_message_lets_others_have_their_turns() -> None:
    """Two streams that wait for the window of the connection share what it gives."""

    async def send(call: IncomingCall) -> None:
        await call.send(b"x" * int(call.request))
        call.finish(0)

    async with our_server({BIG: Method(send)}) as server:
        peer = await server.raw((WINDOW, 2**31 - 1))
        for stream_id in (1, 3, 5):
            peer.call(stream_id, BIG, b"1000000")
        await peer.quiet()
        peer.send(frames.window_update(0, 4 * TURN_BYTES_MAX))
        found, total = [], 0
        while total < 4 * TURN_BYTES_MAX:
            found.append(await peer.next(frames.DATA))
            total += len(found[-1][3])
        assert all(data_bytes(found, stream_id) for stream_id in (1, 3, 5))


@on_both_loops
async def test_empty_messages_fill_a_window_too() -> None:
    """Five bytes each on the way, and an object each in memory: who does not take them, holds them up."""
    async with raw_server() as (peer, client):
        stream = client.call(head(LISTEN), b"", CALL_S)
        peer.answer_headers(stream.id)
        for _ in range(4):  # each is 1/4 of the window
            peer.send(frames.data(stream.id, wrap(b"") * (STREAM_WINDOW_BYTES // 20), end_stream=False))
        updates = [frame for frame in await peer.quiet() if frame[0] == frames.WINDOW_UPDATE and frame[2]]
        assert [] == updates
        for _ in range(STREAM_WINDOW_BYTES // 5 - 10):
            assert b"" == await stream.next()
        updated = [await peer.next(frames.WINDOW_UPDATE, stream.id)]
        assert int.from_bytes(updated[0][3], "big") >= STREAM_WINDOW_BYTES // 2
        stream.cancel()


@on_both_loops
async def test_a_peer_that_ignores_a_window_is_told() -> None:
    """FLOW_CONTROL_ERROR."""

    async def deaf(call: IncomingCall) -> None:
        await asyncio.Event().wait()

    async with our_server({BIG: Method(deaf, whole_request=False)}) as server:
        peer = await server.raw()
        peer.call(1, BIG, None)
        peer.send(*[frames.data(1, wrap(b"x" * 60_000), end_stream=False) for _ in range(5)])
        assert frames.FLOW_CONTROL_ERROR == await peer.goaway_code()


@pytest.mark.parametrize("end", ["reset", "loss", "cancel"])
@on_both_loops
async def test_a_sender_who_waits_for_room_wakes_up_at_the_end(end: str) -> None:
    """Reset, loss or its own cancellation; and nothing waits in the connection any more."""
    woken = asyncio.Event()

    async def stuck(call: IncomingCall) -> None:
        try:
            await call.send(b"x" * 200_000)
        finally:
            woken.set()

    async with our_server({BIG: Method(stuck)}) as server:
        peer = await server.raw()
        peer.send(frames.settings({WINDOW: 2**31 - 1}))
        peer.call(1, BIG)
        await eventually(lambda: server.connections and server.connections[0]._waiting, "it waits")
        if end == "reset":
            peer.send(frames.rst_stream(1, frames.CANCEL))
        elif end == "loss":
            peer.close()
        else:
            server.connections[0].close()
        await asyncio.wait_for(woken.wait(), CALL_S)
        await eventually(lambda: not server.limit.count, "it is over")
        assert {} == dict(server.connections[0]._waiting)


@on_both_loops
async def test_streams_that_were_given_up_do_not_wait_for_a_window() -> None:
    """A peer whose window is shut and who resets what it opens leaves nothing behind."""
    async with our_server() as server:
        peer = await server.raw((WINDOW, 2**31 - 1))
        for stream_id in range(1, 401, 2):
            peer.call(stream_id, ECHO, b"x" * 1_000)
        await peer.quiet()
        await eventually(lambda: server.connections[0]._waiting, "the connection's window is shut")
        for stream_id in range(1, 401, 2):
            peer.send(frames.rst_stream(stream_id, frames.CANCEL))
        await peer.quiet()
        assert (0, 0) == (server.connections[0].calls, len(server.connections[0]._waiting))


@on_both_loops
async def test_frames_are_as_long_as_the_peer_takes() -> None:
    """16 KiB, until its settings say more."""
    async with our_server() as server:
        peer = await server.raw((WINDOW, 1_000_000))
        peer.send(frames.window_update(0, 1_000_000))
        peer.call(101, ECHO, None)
        peer.send(frames.settings({frames.SETTINGS_MAX_FRAME_SIZE: 20_000}))
        message = wrap(b"x" * 100_000)
        for at in range(0, len(message), 16_000):
            last = at + 16_000 >= len(message)
            peer.send(frames.data(101, message[at : at + 16_000], end_stream=last))
        lengths = []
        while sum(lengths) < 100_005:
            lengths.append(len((await peer.next(frames.DATA, 101))[3]))
        assert 20_000 == max(lengths)


@on_both_loops
async def test_a_closed_channel_ends_what_waits_for_windows() -> None:
    """The caller hears CONNECTION_LOST at once."""
    async with raw_server() as (_, client):
        stream = client.call(head(ECHO), b"x" * 1_000_000, CALL_S)
        await asyncio.sleep(0)
        client.close()
        with pytest.raises(MeshError, match="CONNECTION_LOST"):
            await stream.answer()
        assert {} == dict(client._waiting)
