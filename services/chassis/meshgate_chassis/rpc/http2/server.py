"""The answering end of a connection: takes calls, runs their handlers, leaves when it is asked to.

Invariant: a handler's task belongs to its connection and is cancelled with the call: by the client's reset,
by the deadline, by the connection's loss.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from meshgate_chassis.errors import Code
from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method
from meshgate_chassis.rpc.http2.connection import Connection
from meshgate_chassis.rpc.http2.frames import CLIENT_PREFACE, FrameError
from meshgate_chassis.rpc.http2.headers import HeaderError
from meshgate_chassis.rpc.http2.limits import TIMES, Times
from meshgate_chassis.rpc.http2.requests import Refusal, Request, request_of
from meshgate_chassis.rpc.http2.streams import Stream
from meshgate_chassis.rpc.options import CONCURRENT_CALLS_MAX

LEAVING: Final = b"leaving!"  # the ping behind a first GOAWAY


class CallLimit:
    """Calls of all connections of a server, from their headers until the client knows the end and the handler
    has ended."""

    def __init__(self, count_max: int = CONCURRENT_CALLS_MAX) -> None:
        self.count = 0
        self.count_max = count_max

    @property
    def reached(self) -> bool:
        """One more is one too many."""
        return self.count >= self.count_max


class ServerConnection(Connection):
    """One client. `on_made` and `on_lost` tell the listener, which owns it."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        calls: CallLimit,
        on_made: "Callable[[ServerConnection], None]",
        on_lost: "Callable[[ServerConnection], None]",
        times: Times = TIMES,
    ) -> None:
        super().__init__(times)
        self.peer = "unix:"
        self.peer_names: Sequence[str] = ()
        self._methods = methods
        self._limit = calls
        self._on_made = on_made
        self._on_lost = on_lost
        self._calls: dict[int, IncomingCall] = {}
        self._running: dict[int, IncomingCall] = {}  # with the tasks of their handlers
        self._preface: bytes | None = b""  # what came of it; None: it is whole
        self._highest_id = 0  # of the client's streams
        self._taken_id = 0  # the last of them that is or was answered
        self._leaving = False
        self._refusing = False
        self._patience: asyncio.TimerHandle | None = None
        self._refusal: asyncio.TimerHandle | None = None

    @property
    def calls(self) -> int:
        """Whose handlers run, or whose answers have not left."""
        return max(len(self._calls), len(self._running))

    def go_away(self) -> None:
        """Asks the client to leave. What it has begun, or begins before it heard of this, is answered."""
        if not self._leaving and not self.closed:
            self._leaving = True
            self.write(frames.goaway(frames.STREAM_ID_MAX, frames.NO_ERROR))
            self.write(frames.ping(LEAVING))
            self._refusal = self._loop.call_later(self._times.go_away_s, self._refuse)

    def close(self) -> None:
        """Ends what is under way, and the connection."""
        for call in list(self._calls.values()):
            call.abandon(Code.UNAVAILABLE.value, "the service is stopping")
        for call in list(self._running.values()):
            call.stop()
        self._leave()

    def run(self, call: IncomingCall, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task that this connection owns."""
        self._running[call.id] = call
        return self._loop.create_task(work)

    def ran(self, call: IncomingCall) -> None:
        """Its task has ended."""
        del self._running[call.id]
        self._uncount(call)

    def forget(self, call: IncomingCall) -> None:
        """The client knows its end, or is gone."""
        if self._calls.pop(call.id, None) is None:
            return
        self._waiting.pop(call.id, None)
        self._uncount(call)
        if self._refusing and not self._calls:
            self._leave()

    def _uncount(self, call: IncomingCall) -> None:
        if call.counted and not call.running and call.id not in self._calls:
            call.counted = False
            self._limit.count -= 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self.peer = _peer(transport.get_extra_info("peername"))
        certificate = transport.get_extra_info("peercert") or {}
        self.peer_names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
        self._announce({frames.SETTINGS_MAX_CONCURRENT_STREAMS: self._limit.count_max})
        self._patience = self._loop.call_later(self._times.handshake_s, self._leave)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._left:
            return
        if self._preface is not None:
            data = self._preface + data
            if not CLIENT_PREFACE.startswith(data[: len(CLIENT_PREFACE)]):
                self._fail(frames.PROTOCOL_ERROR, "this is a gRPC server: speak HTTP/2")
                return
            if len(data) < len(CLIENT_PREFACE):
                self._preface = data
                return
            self._preface = None
            data = data[len(CLIENT_PREFACE) :]
        super().data_received(data)

    def _ready(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def _refuse(self) -> None:
        """From now on new calls are not looked at: the client may take them elsewhere."""
        if not self._refusing and not self.closed:
            self._refusing = True
            self.write(frames.goaway(self._taken_id, frames.NO_ERROR))
            if not self._calls:
                self._leave()

    def _pinged(self, payload: bytes) -> None:
        if payload == LEAVING:
            self._refuse()

    def _stream(self, stream_id: int) -> IncomingCall | None:
        call = self._calls.get(stream_id)
        if call is None and (stream_id > self._highest_id or not stream_id & 1):
            raise FrameError(frames.PROTOCOL_ERROR, "a frame for a stream that was never opened")
        return call

    def _all_streams(self) -> list[Stream]:
        return list(self._calls.values())

    def _take_headers(self, stream_id: int, block: bytes, *, ended: bool) -> None:
        headers = self._headers.decode(block)
        if not self._opens(stream_id):  # trailers of a request, which gRPC has no use for
            self._take_trailers(stream_id, ended=ended)
            return
        if self._refusing or len(self._calls) >= self._limit.count_max:
            self.write(frames.rst_stream(stream_id, frames.REFUSED_STREAM))
            return
        self._taken_id = stream_id
        call = IncomingCall(self, stream_id, self._stream_window)
        self._calls[stream_id] = call
        self._admit(call, request_of(headers))
        if ended and stream_id in self._calls:
            call.take_end()

    def _admit(self, call: IncomingCall, request: "Request | Refusal") -> None:
        if isinstance(request, Refusal):
            call.refuse(request.block)
            return
        method = self._methods.get(request.path)
        if method is None:
            call.abandon(Code.UNIMPLEMENTED.value, f"there is no method {request.path}"[:200])
        elif self._limit.reached:
            text = f"{self._limit.count_max} calls are under way"
            call.abandon(Code.RESOURCE_EXHAUSTED.value, text)
        else:
            call.counted = True
            self._limit.count += 1
            call.begin(request, method)

    def _opens(self, stream_id: int) -> bool:
        """Whether these headers are the first of their stream."""
        if not stream_id & 1:
            raise FrameError(frames.PROTOCOL_ERROR, "a client's streams are odd")
        if stream_id <= self._highest_id:
            return False
        self._highest_id = stream_id
        return True

    def _take_trailers(self, stream_id: int, *, ended: bool) -> None:
        call = self._calls.get(stream_id)
        if call is None:
            return
        if call.remote_ended:
            self._reset(call, frames.STREAM_CLOSED)
        elif not ended:
            self._reset(call, frames.PROTOCOL_ERROR)
        else:
            call.take_end()

    def _take_bad_headers(self, stream_id: int, error: HeaderError) -> None:
        opens = self._opens(stream_id)
        call = self._calls.get(stream_id)
        if call is not None:
            self._reset(call, error.error_code)
        elif opens and error.error_code == frames.ENHANCE_YOUR_CALM:
            block = statuses.trailers(Code.RESOURCE_EXHAUSTED.value, error.text, [], only=True)
            most = self.frame_bytes_max
            self.write(frames.headers(stream_id, block, end_stream=True, frame_bytes_max=most))
            self.write(frames.rst_stream(stream_id, frames.NO_ERROR))
        else:
            self.write(frames.rst_stream(stream_id, error.error_code))

    def _reset(self, call: IncomingCall, error_code: int) -> None:
        """The client broke a rule, and the call with it."""
        self.write(frames.rst_stream(call.id, error_code))
        call.drop()

    def _take_payload(self, stream_id: int, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        call = self._stream(stream_id)
        if call is None:
            return
        if call.remote_ended:
            self._reset(call, frames.STREAM_CLOSED)
        else:
            call.take_payload(payload, flow_bytes, ended=ended)

    def _take_reset(self, stream_id: int, error_code: int) -> None:  # noqa: ARG002 - a client's reset is one
        call = self._stream(stream_id)
        self._count_control_frame()  # each may have started a handler
        if call is not None:
            call.drop()

    def _take_goaway(self, last_stream_id: int) -> None:
        """A client that leaves still wants its answers; it closes when it has them."""

    def _last_stream_id(self) -> int:
        return self._taken_id

    def _busy(self) -> bool:
        return bool(self._calls)

    def _lost(self) -> None:
        for timer in (self._patience, self._refusal):
            if timer is not None:
                timer.cancel()
        for call in list(self._calls.values()):
            call.drop()
        self._on_lost(self)


def _peer(name: Any) -> str:
    """As gRPC names it."""
    if not isinstance(name, tuple):
        return "unix:"
    host, port = name[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
