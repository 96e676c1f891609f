"""A caller who leaves costs no memory, loses no message, ends what costs money; real gRPC on loopback."""

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from meshgate_chassis.rpc.on_grpcio.reading import MESSAGES_AHEAD_MAX, StreamReader, answer_of
from meshgate_chassis.rpc.options import LEFT_ALONE_S_MAX
from tests.support.eventually import eventually

LEAVERS = Path(__file__).with_name("leavers.py")
BYTES_FOR_EACH_MAX = 2_000  # about 300 here; 8,000 when the waiting task itself waits for grpcio


class Peer:
    """Answers "ok" when told to; streams as many messages as the request says, and then waits."""

    def __init__(self) -> None:
        self.sent = 0
        self.go = asyncio.Event()
        self.answered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def answer(self, request: bytes, context: Any) -> bytes:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.answered.set()
        return b"ok"

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for number in range(int(request)):
                yield b"%d" % number * 4_000
                self.sent += 1
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture
async def peer() -> Peer:
    return Peer()


@pytest.fixture
async def channel(peer: Peer, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    methods = {
        "answer": grpc.unary_unary_rpc_method_handler(peer.answer),
        "stream": grpc.unary_stream_rpc_method_handler(peer.stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", methods),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as made:
        yield made
    await server.stop(0)


async def test_messages_come_in_order_and_the_end_after_them(peer: Peer, channel: grpc.aio.Channel) -> None:
    """More than may be read ahead, then None."""
    peer.go.set()
    reader, reading = started(channel, MESSAGES_AHEAD_MAX * 3)

    seen = [await reader.next() for _ in range(MESSAGES_AHEAD_MAX * 3)]

    assert [b"%d" % number * 4_000 for number in range(MESSAGES_AHEAD_MAX * 3)] == seen
    assert await reader.next() is None
    await reading


async def test_nobody_reads_far_ahead(peer: Peer, channel: grpc.aio.Channel) -> None:
    """A caller that does not ask holds the sender back; what it then asks for is all there."""
    peer.go.set()
    count = 2_000  # 8 to 32 MB
    reader, reading = started(channel, count)
    sent = -1
    while sent != peer.sent:
        sent = peer.sent
        await asyncio.sleep(0.3)

    assert 0 < sent < count / 2

    assert count == len([message async for message in messages(reader)])
    await reading


async def test_a_caller_who_leaves_ends_the_stream(peer: Peer, channel: grpc.aio.Channel) -> None:
    """The server is told, and what had been read can still be had."""
    reader, reading = started(channel, 3)
    first = await reader.next()
    await eventually(lambda: peer.sent == 3, "all are sent")
    waiting = asyncio.ensure_future(messages(reader).__anext__())
    await asyncio.wait([waiting])
    reader.end()

    await reading
    await eventually(peer.cancelled.is_set, "the server is told")
    assert [b"0" * 4_000, b"1" * 4_000] == [first, waiting.result()]
    with pytest.raises(asyncio.CancelledError):
        [message async for message in messages(reader)]


async def test_a_caller_who_waits_can_be_cancelled_while_the_stream_goes_on(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    """Only the wait ends."""
    reader, reading = started(channel, 1)
    await reader.next()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.next(), 0.05)
    peer.go.set()

    assert await reader.next() is None
    await reading


@pytest.mark.parametrize(
    ("timeout_s", "cancelled"), [(LEFT_ALONE_S_MAX, False), (LEFT_ALONE_S_MAX + 1, True)]
)
async def test_a_short_call_is_left_alone_a_long_one_cancelled(
    peer: Peer, channel: grpc.aio.Channel, timeout_s: float, cancelled: bool
) -> None:
    """A short one ends by itself soon; a long one may cost money for as long as it lasts."""
    call = channel.unary_unary("/test.Peer/answer")(b"", timeout=timeout_s)
    waiting = asyncio.ensure_future(answer_of(call, timeout_s))
    await channel.channel_ready()
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    if not cancelled:
        peer.go.set()
    told = peer.cancelled if cancelled else peer.answered
    await eventually(told.is_set, "the server has ended it")
    assert cancelled == peer.cancelled.is_set()


async def test_an_answered_call_is_gone_without_a_collection(peer: Peer, channel: grpc.aio.Channel) -> None:
    """With its request and its answer."""
    peer.go.set()
    call = channel.unary_unary("/test.Peer/answer")(b"", timeout=60, wait_for_ready=True)
    gc.disable()
    try:
        assert await answer_of(call, 60) == b"ok"
        known = weakref.ref(call)
        del call
        await eventually(lambda: known() is None, "nothing holds the call")
    finally:
        gc.enable()


async def test_a_stream_that_was_left_is_gone_without_a_collection(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    """With its messages."""
    gc.disable()
    try:
        reader, reading = started(channel, 1)
        await reader.next()
        reader.end()
        await reading
        known = weakref.ref(reader)
        del reader, reading
        await eventually(lambda: known() is None, "nothing holds the reader")
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="reads its memory from /proc")
@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_callers_who_leave_cost_no_memory(transport: str) -> None:
    """6,000 streams that are left while messages come, in a process of their own."""
    command = [sys.executable, LEAVERS, transport]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)

    assert float(told.stdout) < BYTES_FOR_EACH_MAX


def started(channel: grpc.aio.Channel, count: int) -> tuple[StreamReader, asyncio.Task[None]]:
    reader = StreamReader(channel.unary_stream("/test.Peer/stream")(b"%d" % count, timeout=60))
    return reader, asyncio.ensure_future(reader.read())


async def messages(reader: StreamReader) -> AsyncIterator[bytes]:
    while (message := await reader.next()) is not None:
        yield message
