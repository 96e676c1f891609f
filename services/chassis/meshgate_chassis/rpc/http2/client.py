"""The calling end of a connection: opens streams, and tells how each ended.

Invariant: every call ends once: with its status, its deadline, its cancellation, or the connection's loss.
A loss tells whether the call may have been carried out, because money depends on it.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.connection import Connection
from meshgate_chassis.rpc.http2.frames import FrameError
from meshgate_chassis.rpc.http2.headers import HeaderError
from meshgate_chassis.rpc.http2.limits import TIMES, Times
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

    __slots__ = ("_answered", "_begun", "_connection", "_ended", "_failure", "_timer", "refused")

    def __init__(self, connection: "ClientConnection", stream_id: int, send_window: int) -> None:
        super().__init__(connection, stream_id, send_window)
        self.refused = False  # it failed, and the peer certainly never began it
        self._connection = connection
        self._begun = False  # something of the answer has come
        self._answered = False  # its headers have
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

    def refuse(self, text: str) -> None:
        """The peer says that it will not carry it out; who began to answer says so wrongly."""
        self.refused = not self._ended and not self._begun
        self.end(never_sent(text) if self.refused else lost(text))

    def take_headers(self, headers: "list[tuple[str, str]] | None", *, ended: bool) -> None:
        """Of the answer: its beginning, its end, or both at once. `headers` None: what our own servers say
        in every answer."""
        if ended:
            failure = None if headers is None else statuses.of_trailers(headers, first=not self._answered)
            if failure is None and self._reader.partial:
                failure = broken("the answer ended within a message")
            self._finish(failure)
            return
        self._begun = True
        if self._answered:
            self.give_up(broken("there are headers within the answer"))
        elif headers is None:
            self._answered = True
        else:
            failure, self._answered = statuses.of_headers(headers)
            if failure is not None:
                self.give_up(failure)

    def take_payload(self, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        """Data of the answer."""
        if not self._answered:
            self.give_up(broken("there is data before the headers of the answer"))
            return
        try:
            self.receive(payload, flow_bytes)
        except MessageError as error:
            self.give_up(from_status(error.code, error.text, None))
            return
        if ended:  # without a status: nobody knows whether it was carried out
            self._finish(lost("the answer ended without a status"))
        elif self._messages:
            self.tell()

    def _finish(self, failure: MeshError | None) -> None:
        """The peer said all."""
        if not self.local_ended:  # it did not listen to everything
            self.wire.write(frames.rst_stream(self.id, frames.CANCEL))
        self.end(failure)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise replace(self._failure)  # a copy, because what is raised leads back to this stream


class ClientConnection(Connection):
    """Make it with `open_connection`. `on_change` is called when `usable` or `closed` may have changed."""

    def __init__(self, times: Times = TIMES) -> None:
        super().__init__(times)
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.going_away = False
        self.on_change: Callable[[], None] | None = None
        self._streams: dict[int, ClientStream] = {}
        self._next_id = 1
        self._streams_max = CONCURRENT_CALLS_MAX
        self._unflushed: list[ClientStream] = []  # nothing of them has left

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
        if self.head_prefix:
            header_block, self.head_prefix = self.head_prefix + header_block, b""
        if not self._streams:
            self._heard = True  # the silence begins now
        stream = ClientStream(self, self._next_id, self._stream_window)
        self._next_id += 2
        self._streams[stream.id] = stream
        self._unflushed.append(stream)
        stream.start_timer(self._loop.call_later(timeout_s, stream.expire))
        self.write(
            frames.headers(stream.id, header_block, end_stream=False, frame_bytes_max=self.frame_bytes_max)
        )
        stream.put(wrap(message), end=True)
        if self._next_id > frames.STREAM_ID_MAX:
            self._go_away()
        return stream

    def close(self) -> None:
        """Ends all calls, and the connection."""
        self.going_away = True
        self.write(frames.goaway(0, frames.NO_ERROR))
        for stream in list(self._streams.values()):
            stream.give_up(lost("the channel was closed"))
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
        if self._waiting:
            self._waiting.pop(stream.id, None)
        if self.going_away and not self._streams:
            self._leave()
        elif was_full:
            self._changed()

    def _flush(self) -> None:
        if self._unflushed and self._transport is not None and not self._transport.is_closing():
            self._unflushed.clear()
        super()._flush()

    def _leave(self) -> None:
        super()._leave()
        if not self.going_away:
            self.going_away = True
            self._changed()

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

    def _take_bad_headers(self, stream_id: int, error: HeaderError) -> None:
        stream = self._stream(stream_id)
        if stream is not None:
            too_long = error.error_code == frames.ENHANCE_YOUR_CALM
            code = Code.RESOURCE_EXHAUSTED if too_long else Code.INTERNAL
            stream.give_up(from_status(code.value, error.text, None))

    def _take_payload(self, stream_id: int, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        stream = self._stream(stream_id)
        if stream is not None:
            stream.take_payload(payload, flow_bytes, ended=ended)

    def _take_reset(self, stream_id: int, error_code: int) -> None:
        stream = self._stream(stream_id)
        if stream is None:
            return
        if error_code == frames.REFUSED_STREAM:
            stream.refuse("the service refused the call")
        else:
            stream.end(reset(error_code))

    def _take_goaway(self, last_stream_id: int) -> None:
        self._go_away()
        for stream in [stream for stream in self._streams.values() if stream.id > last_stream_id]:
            stream.refuse("the service is leaving")

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
        text = "the connection was lost" if error is None else f"the connection was lost: {error}"
        self.going_away = True
        for stream in self._unflushed:
            stream.refuse(text)
        for stream in list(self._streams.values()):
            stream.end(lost(text))
        self._unflushed.clear()
        if not self.ready.done():
            if not isinstance(error, OSError):
                error = ConnectionError("the peer closed the connection" if error is None else str(error))
            self.ready.set_exception(error)
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


def broken(text: str) -> MeshError:
    """A call whose answer breaks the protocol."""
    return from_status(Code.INTERNAL.value, text, None)


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
