"""A peer that speaks as much HTTP/2 as a test wants, and no gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.client import Address
from meshgate_chassis.rpc.http2.frames import FrameReader

Answer = Callable[[int], bytes]


def silence(stream_id: int) -> bytes:
    """To a call: nothing."""
    return b""


class BarePeer:
    """`greeting`: what it says first. `answer`: what it says to the call on a stream; None hangs up."""

    def __init__(self, greeting: bytes | None = None, answer: Answer = silence) -> None:
        self.greeting = frames.settings({}) if greeting is None else greeting
        self.answer = answer
        self.hangs_up = False  # after its greeting, and at its next call
        self.accepted = 0
        self.called = 0
        self.address = Address("127.0.0.1", 0)
        self._writers: set[asyncio.StreamWriter] = set()
        self._conversations: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> int:
        """Connections that are open."""
        return len(self._writers)

    def hang_up(self) -> None:
        """On everybody who is connected."""
        for writer in self._writers:
            writer.close()

    def say(self, data: bytes) -> None:
        """To everybody who is connected."""
        for writer in self._writers:
            writer.write(data)

    async def end(self) -> None:
        """Of all conversations."""
        self.hang_up()
        if self._conversations:
            await asyncio.wait(self._conversations)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """With one client, until it leaves."""
        if (conversation := asyncio.current_task()) is not None:
            self._conversations.add(conversation)
        self.accepted += 1
        self._writers.add(writer)
        try:
            writer.write(self.greeting)
            if self.hangs_up:
                return
            parser = FrameReader(1 << 20)
            await reader.readexactly(len(frames.CLIENT_PREFACE))
            while data := await reader.read(65_536):
                for kind, _, stream_id, _ in parser.feed(data):
                    if kind == frames.HEADERS:
                        self.called += 1
                        writer.write(self.answer(stream_id))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def listening(peer: BarePeer) -> AsyncIterator[BarePeer]:
    """On a port of loopback."""
    server = await asyncio.start_server(peer.converse, "127.0.0.1", 0)
    peer.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield peer
    finally:
        server.close()
        await peer.end()
        await server.wait_closed()
