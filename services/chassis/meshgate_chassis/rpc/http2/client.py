"""The calling end of a connection: opens streams, and tells how each ended.

Invariant: every call ends once: with its status, its deadline, its cancellation, or the connection's loss.
A loss tells whether the call may have been carried out, because money depends on it.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.connection import WINDOW_MAX, Connection
from meshgate_chassis.rpc.http2.frames import FrameError
from meshgate_chassis.rpc.http2.messages import MessageError, wrap
from meshgate_chassis.rpc.http2.streams import Stream
from meshgate_chassis.rpc.options import CONCURRENT_CALLS_MAX
from meshgate_chassis.rpc.status import from_status

ALPN: Final = "h2"


class Address(NamedTuple):
    """Where a server listens: `host` and `port`, or the `path` of a Unix socket."""

    host: str
    port: int
    path: str = ""


class ClientStream(Stream):
    """One call. Raises MeshError as the seam promises."""

    __slots__ = ("_answered", "_connection", "_ended", "_failure", "_timer", "refused")

    def __init__(self, connection: "ClientConnection", stream_id: int, send_window: int) -> None:
        super().__init__(connection, stream_id, send_window)
        self.refused = False  # it failed, and the peer certainly never began it
        self._connection = connection
        self._answered = False  # the peer's first headers have come
        self._ended = False
        self._failure: MeshError | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def answer(self) -> bytes:
        """The one message of a unary call that ended well. Raises MeshError."""
        while not self._ended:
            await self.arrival()
        self._raise_failure()
        if len(self._messages) != 1:
            raise from_status(Code.INTERNAL.value, "the answer is not one message", None)
        return self.take()

    async def next(self) -> bytes | None:
        """The next message of a stream; None when it ended well. Raises MeshError."""
        while not self._messages:
            if self._ended:
                self._raise_failure()
                return None
            await self.arrival()
        return self.take()

    def cancel(self) -> None:
        """Gives the call up, unless it has ended: who waits for it hears CANCELLED."""
        self.give_up(from_status(Code.CANCELLED.value, "the caller cancelled the call", None))

    def expire(self) -> None:
        """Its deadline has passed."""
        self.give_up(from_status(Code.DEADLINE_EXCEEDED.value, "the deadline has passed", None))

    def start_timer(self, timer: asyncio.TimerHandle) -> None:
        """What calls `expire`."""
        self._timer = timer

    def give_up(self, failure: MeshError) -> None:
        """Resets the stream and ends the call with `failure`, unless it has ended."""
        if not self._ended:
            self.wire.write(frames.rst_stream(self.id, frames.CANCEL))
            self.end(failure)

    def end(self, failure: MeshError | None) -> None:
        """The call has ended: None is OK."""
        if self._ended:
            return
        self._ended = self.remote_ended = True
        self._failure = failure
        if self._timer is not None:
            self._timer.cancel()
        if not self.local_ended:
            self.drop_output()
        self._connection.forget(self)
        self.tell()

    def take_headers(self, headers: "list[tuple[str, str]] | None", *, ended: bool) -> None:
        """Of the answer: its beginning, its end, or both at once. `headers` None: what our own servers say
        in every answer."""
        if ended:
            if not self.local_ended:  # it answered before it heard everything
                self.wire.write(frames.rst_stream(self.id, frames.CANCEL))
            self.end(None if headers is None else statuses.of_trailers(headers, first=not self._answered))
        elif not self._answered and headers is not None:
            failure, self._answered = statuses.of_headers(headers)
            if failure is not None:
                self.give_up(failure)
        else:
            self._answered = True

    def take_payload(self, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        """Data of the answer."""
        try:
            self.receive(payload, flow_bytes)
        except MessageError as error:
            self.give_up(from_status(error.code, error.text, None))
            return
        if ended:  # without a status: nobody knows whether it was carried out
            self.end(lost("the answer ended without a status"))
        elif self._messages:
            self.tell()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # it leads back to this frame


class ClientConnection(Connection):
    """Make it with `open_connection`. `on_change` is called when `usable` or `closed` may have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.going_away = False
        self.on_change: Callable[[], None] | None = None
        self._streams: dict[int, ClientStream] = {}
        self._next_id = 1
        self._streams_max = CONCURRENT_CALLS_MAX
        self._unflushed: list[ClientStream] = []

    @property
    def usable(self) -> bool:
        """A call may be made now."""
        return not self.closed and not self.going_away and len(self._streams) < self._streams_max

    @property
    def calls(self) -> int:
        """Under way."""
        return len(self._streams)

    def call(self, header_block: bytes, message: bytes, timeout_s: float) -> ClientStream:
        """Begins a call; `usable` must be true. `header_block` is the whole HPACK block."""
        assert self.usable, "whoever calls asks first"
        stream = ClientStream(self, self._next_id, self._stream_window)
        self._next_id += 2
        self._streams[stream.id] = stream
        self._unflushed.append(stream)
        stream.start_timer(self._loop.call_later(timeout_s, stream.expire))
        self.write(
            frames.headers(stream.id, header_block, end_stream=False, frame_bytes_max=self.frame_bytes_max)
        )
        stream.put(wrap(message), end=True)
        if self._next_id > WINDOW_MAX:
            self._go_away()
        return stream

    def close(self) -> None:
        """Ends all calls, and the connection."""
        for stream in list(self._streams.values()):
            stream.give_up(lost("the channel was closed"))
        self.write(frames.goaway(0, frames.NO_ERROR))
        self._leave()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self.write(frames.CLIENT_PREFACE)
        self._announce({frames.SETTINGS_ENABLE_PUSH: 0})
        self._flush()

    def forget(self, stream: ClientStream) -> None:
        """It has ended."""
        was_full = len(self._streams) >= self._streams_max
        self._streams.pop(stream.id, None)
        if self.going_away and not self._streams:
            self._leave()
        elif was_full:
            self._changed()

    def _flush(self) -> None:
        self._unflushed.clear()
        super()._flush()

    def _ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _limit_streams(self, count: int) -> None:
        self._streams_max = min(count, CONCURRENT_CALLS_MAX)
        self._changed()

    def _stream(self, stream_id: int) -> ClientStream | None:
        stream = self._streams.get(stream_id)
        if stream is None and (stream_id >= self._next_id or not stream_id & 1):
            raise FrameError(frames.PROTOCOL_ERROR, "a frame for a stream that was never opened")
        return stream

    def _all_streams(self) -> list[Stream]:
        return list(self._streams.values())

    def _take_headers(self, stream_id: int, block: bytes, *, ended: bool) -> None:
        ours = block == (statuses.OK_TRAILERS if ended else statuses.ANSWER_HEADERS)
        headers = None if ours else self._headers.decode(block)
        stream = self._stream(stream_id)
        if stream is not None:
            stream.take_headers(headers, ended=ended)

    def _take_payload(self, stream_id: int, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        stream = self._stream(stream_id)
        if stream is not None:
            stream.take_payload(payload, flow_bytes, ended=ended)

    def _take_reset(self, stream_id: int, error_code: int) -> None:
        stream = self._stream(stream_id)
        if stream is not None:
            stream.refused = error_code == frames.REFUSED_STREAM
            stream.end(never_sent("the service refused the call") if stream.refused else reset(error_code))

    def _take_goaway(self, last_stream_id: int) -> None:
        for stream in [stream for stream in self._streams.values() if stream.id > last_stream_id]:
            stream.refused = True
            stream.end(never_sent("the service is leaving"))
        self._go_away()

    def _go_away(self) -> None:
        if not self.going_away:
            self.going_away = True
            self._changed()
            if not self._streams:
                self._leave()

    def _last_stream_id(self) -> int:
        return 0

    def _busy(self) -> bool:
        return bool(self._streams)

    def _lost(self) -> None:
        error = self.lost_by
        for stream in self._unflushed:
            stream.refused = True
        for stream in list(self._streams.values()):
            text = "the connection was lost" if error is None else f"the connection was lost: {error}"
            stream.end(never_sent(text) if stream.refused else lost(text))
        self._unflushed.clear()
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("the peer closed the connection"))
            self.ready.exception()  # told, even when nobody waits any more
        if not self.gone.done():
            self.gone.set_result(None)
        self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def lost(text: str) -> MeshError:
    """A call that left, and of which nobody knows whether it was carried out."""
    return MeshError(Code.UNAVAILABLE, "CONNECTION_LOST", text)


def never_sent(text: str) -> MeshError:
    """A call that was certainly not carried out."""
    return MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", text)


def reset(error_code: int) -> MeshError:
    """A stream that the peer reset, by gRPC's mapping of HTTP/2's error codes."""
    code = {
        frames.CANCEL: Code.CANCELLED,
        frames.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
        frames.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
    }.get(error_code, Code.INTERNAL)
    return from_status(code.value, f"the service reset the call (HTTP/2 error {error_code})", None)


async def open_connection(
    address: Address, *, tls: ssl.SSLContext | None, server_name: str | None
) -> ClientConnection:
    """Connects, and waits for the peer's settings, without a limit of its own. Raises OSError, ssl.SSLError
    (an OSError)."""
    loop = asyncio.get_running_loop()
    name = server_name if tls is not None else None
    connection: ClientConnection
    if address.path:
        _, connection = await loop.create_unix_connection(
            ClientConnection, address.path, ssl=tls, server_hostname=name
        )
    else:
        _, connection = await loop.create_connection(
            ClientConnection, address.host, address.port, ssl=tls, server_hostname=name
        )
    try:
        await connection.ready
    except asyncio.CancelledError:
        connection.close()
        raise
    return connection
