"""Peers that speak HTTP/2 frame by frame, and our two ends on real sockets."""

import asyncio
import functools
import gc
import inspect
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method
from meshgate_chassis.rpc.http2.client import Address, ClientConnection, ClientStream, open_connection
from meshgate_chassis.rpc.http2.frames import CLIENT_PREFACE, Frame, FrameReader
from meshgate_chassis.rpc.http2.headers import HeaderDecoder, block
from meshgate_chassis.rpc.http2.limits import TIMES, Times
from meshgate_chassis.rpc.http2.messages import wrap
from meshgate_chassis.rpc.http2.server import CallLimit, ServerConnection
from tests.support.eventually import eventually

ECHO = "/t.S/Echo"
MANY = "/t.S/Many"  # as many messages of 100 bytes as the request says
HANG = "/t.S/Hang"
LISTEN = "/t.S/Listen"  # its handler starts at the headers
CALL_S = 20.0


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on asyncio's event loop and on uvloop's."""

    @functools.wraps(test)
    def run(loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test(**arguments))

    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    parameters = [*inspect.signature(test).parameters.values(), loop]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # pytest asks for it
    loops = [asyncio.SelectorEventLoop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)


def head(path: str, *more: tuple[str, str]) -> bytes:
    """The headers of a call."""
    return block(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        ]
    )


class RawPeer:
    """One end of a connection, of which the test writes every frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader(frames.FRAME_BYTES_MAX_MOST)
        self._read: list[Frame] = []
        self.decoder = HeaderDecoder(1 << 20)
        self.closed = False

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def begin(self, *settings: tuple[int, int]) -> None:
        """As a client."""
        self.send(CLIENT_PREFACE, frames.settings(dict(settings)))

    def call(self, stream_id: int, path: str = ECHO, message: bytes | None = b"x", timeout: str = "") -> None:
        """A request; without an end when there is no message."""
        more = [("grpc-timeout", timeout)] if timeout else []
        self.send(headers(stream_id, head(path, *more)))
        if message is not None:
            self.send(frames.data(stream_id, wrap(message), end_stream=True))

    def answer_headers(self, stream_id: int) -> None:
        """As a server."""
        self.send(headers(stream_id, statuses.ANSWER_HEADERS))

    def answer(self, stream_id: int, *messages: bytes) -> None:
        """As a server: a whole one, that went well."""
        self.answer_headers(stream_id)
        for message in messages:
            self.send(frames.data(stream_id, wrap(message), end_stream=False))
        self.send(headers(stream_id, statuses.OK_TRAILERS, end=True))

    async def frame(self) -> Frame | None:
        """The next; None when the other end has closed."""
        while not self._read:
            try:
                data = await asyncio.wait_for(self.reader.read(1 << 16), CALL_S)
            except ConnectionError:
                data = b""
            if not data:
                self.closed = True
                return None
            self._read += self._frames.feed(data)
        return self._read.pop(0)

    async def next(self, kind: int, stream_id: int | None = None) -> Frame:
        """The next of this kind; others are passed over."""
        while (found := await self.frame()) is not None:
            if found[0] == kind and (stream_id is None or found[2] == stream_id):
                return found
        raise AssertionError(f"closed before a frame of kind {kind}")

    async def rest(self) -> list[Frame]:
        """All that comes until the other end closes."""
        found = []
        while (one := await self.frame()) is not None:
            found.append(one)
        return found

    async def quiet(self) -> list[Frame]:
        """All that came before the other end answers a ping: nothing more is on its way."""
        self.send(frames.ping(b"question"))
        found = []
        while (one := await self.frame()) is not None:
            if one[0] == frames.PING and one[3] == b"question":
                return found
            found.append(one)
        raise AssertionError(f"closed: {found}")

    async def goaway_code(self) -> int:
        """Of the last words."""
        kinds = [(kind, payload) for kind, _, _, payload in await self.rest()]
        codes = [int.from_bytes(payload[4:8], "big") for kind, payload in kinds if kind == frames.GOAWAY]
        assert codes, f"closed without GOAWAY: {kinds}"
        return codes[-1]

    def close(self) -> None:
        self.writer.close()


def headers(stream_id: int, block_bytes: bytes, *, end: bool = False) -> bytes:
    return frames.headers(stream_id, block_bytes, end_stream=end, frame_bytes_max=16_384)


@dataclass
class Handlers:
    """What the server of a test does, and what it saw."""

    begun: int = 0
    cancelled: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def echo(self, call: IncomingCall) -> None:
        self.begun += 1
        call.answer(call.request)

    async def many(self, call: IncomingCall) -> None:
        self.begun += 1
        for _ in range(int(call.request)):
            await call.send(b"m" * 100)
        call.finish(0)

    async def hang(self, call: IncomingCall) -> None:
        self.begun += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        call.answer(call.request)

    async def listen(self, call: IncomingCall) -> None:
        self.begun += 1
        while (message := await call.next_request()) is not None:
            await call.send(message)
        call.finish(0)

    def methods(self) -> dict[str, Method]:
        return {
            ECHO: Method(self.echo),
            MANY: Method(self.many),
            HANG: Method(self.hang),
            LISTEN: Method(self.listen, whole_request=False),
        }


@dataclass
class Running:
    """Our server."""

    address: Address
    handlers: Handlers
    limit: CallLimit
    connections: list[ServerConnection]
    lost: list[ServerConnection]
    peers: list[RawPeer] = field(default_factory=list)

    async def raw(self, *settings: tuple[int, int]) -> RawPeer:
        """A client of which the test writes every frame; it has begun."""
        peer = await connect(self.address)
        self.peers.append(peer)
        peer.begin(*settings)
        return peer

    async def client(self) -> ClientConnection:
        return await open_connection(self.address, tls=None, server_name=None)


async def connect(address: Address) -> RawPeer:
    if address.path:
        return RawPeer(*await asyncio.open_unix_connection(address.path))
    return RawPeer(*await asyncio.open_connection(address.host, address.port))


@asynccontextmanager
async def our_server(
    extra: Mapping[str, Method] | None = None,
    *,
    times: Times = TIMES,
    count_max: int = 4_096,
    tcp: bool = False,
) -> AsyncIterator[Running]:
    """Serves the handlers above and `extra`."""
    handlers, limit = Handlers(), CallLimit(count_max)
    connections: list[ServerConnection] = []
    lost: list[ServerConnection] = []
    methods = {**handlers.methods(), **(extra or {})}

    def made() -> ServerConnection:
        return ServerConnection(methods, limit, connections.append, lost.append, times)

    async with listening(made, tcp=tcp) as address:
        running = Running(address, handlers, limit, connections, lost)
        try:
            yield running
        finally:
            for peer in running.peers:
                peer.close()
            for connection in connections:
                connection.close()
        await eventually(lambda: len(lost) == len(connections), "all connections have ended")


@asynccontextmanager
async def listening(made: Callable[[], asyncio.Protocol], *, tcp: bool = False) -> AsyncIterator[Address]:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "s"))
        if tcp:
            server = await loop.create_server(made, "127.0.0.1", 0)
            address = Address(*server.sockets[0].getsockname()[:2])
        else:
            server = await loop.create_unix_server(made, path)
            address = Address("", 0, path)
        try:
            yield address
        finally:
            server.close()


@asynccontextmanager
async def raw_server(
    *settings: tuple[int, int], times: Times = TIMES, tcp: bool = False
) -> AsyncIterator[tuple[RawPeer, ClientConnection]]:
    """A server of which the test writes every frame, and our client, connected to it."""
    accepted: asyncio.Queue[RawPeer] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def made() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.put_nowait(RawPeer(reader, writer))

        return asyncio.StreamReaderProtocol(reader, connected)

    async with listening(made, tcp=tcp) as address:
        if tcp:
            _, client = await loop.create_connection(
                lambda: ClientConnection(times), address.host, address.port
            )
        else:
            _, client = await loop.create_unix_connection(lambda: ClientConnection(times), address.path)
        peer = await accepted.get()
        assert CLIENT_PREFACE == await peer.reader.readexactly(len(CLIENT_PREFACE))
        peer.send(frames.settings(dict(settings)), frames.SETTINGS_ACK)
        await client.ready
        try:
            yield peer, client
        finally:
            peer.close()
            client.close()
            await client.gone


def objects(*kinds: type) -> int:
    """How many of them are alive, without a collection."""
    return sum(1 for each in gc.get_objects() if isinstance(each, kinds))


def cycles_of(*kinds: type) -> list[object]:
    """What only a collection would free; it must not be left to one before."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [each for each in gc.garbage if isinstance(each, kinds)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def all_of(stream: ClientStream) -> list[bytes]:
    """Its messages, when it ends well."""
    messages = []
    while (message := await stream.next()) is not None:
        messages.append(message)
    return messages


def codes(found: Iterable[Frame], stream_id: int) -> list[int]:
    """Of the resets of a stream."""
    return [
        int.from_bytes(payload, "big")
        for kind, _, of, payload in found
        if kind == frames.RST_STREAM and of == stream_id
    ]
