"""One call on the answering side, as its handler and its connection see it.

Invariant: every call that is still wanted is answered once: by its handler, by its deadline, or because the
handler failed to.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from meshgate_chassis.errors import Code
from meshgate_chassis.rpc.http2 import frames, statuses
from meshgate_chassis.rpc.http2.messages import MessageError, wrap
from meshgate_chassis.rpc.http2.requests import Request
from meshgate_chassis.rpc.http2.streams import Stream, Wire
from meshgate_chassis.rpc.http2.values import encode_binary

NOT_ONE: Final = "the request is not one message"


class CallOwner(Wire, Protocol):
    """What a call needs of its connection."""

    peer: str
    peer_names: Sequence[str]

    def run(self, call: "IncomingCall", work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task that the connection owns."""

    def ran(self, call: "IncomingCall") -> None:
        """Its task has ended."""

    def forget(self, call: "IncomingCall") -> None:
        """The client knows its end, or is gone."""


class Method(NamedTuple):
    """`whole_request`: `handle` starts when the request is complete; else at its headers."""

    handle: "Callable[[IncomingCall], Coroutine[Any, Any, None]]"
    whole_request: bool = True


class IncomingCall(Stream):
    """One call, for its handler."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_finished",
        "_headers_sent",
        "_method",
        "_stopped",
        "_task",
        "_timer",
        "counted",
        "metadata",
        "method",
        "request",
    )

    def __init__(self, connection: CallOwner, stream_id: int, send_window: int) -> None:
        super().__init__(connection, stream_id, send_window)
        self.method = ""  # "/pkg.Service/Name"
        self.metadata: Mapping[str, str] = {}
        self.request = b""
        self.counted = False  # by the limit of its server
        self._connection = connection
        self._method: Method | None = None
        self._deadline: float | None = None
        self._headers_sent = False
        self._finished = False
        self._stopped = False  # its handler was told, once: it may be cleaning up
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- for handlers ---------------------------------------------------------------------------------------

    @property
    def peer(self) -> str:
        """ "ipv4:1.2.3.4:567", "ipv6:[::1]:5" or "unix:"."""
        return self._connection.peer

    def peer_names(self) -> Sequence[str]:
        """The DNS names of the client's certificate; none without TLS."""
        return self._connection.peer_names

    def remaining_s(self) -> float | None:
        """Until the client's deadline; None when it gave none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    async def next_request(self) -> bytes | None:
        """The next message of the client; None when it said all."""
        while not self._messages:
            if self.remote_ended:
                return None
            await self.arrival()
        return self.take()

    async def send(self, message: bytes) -> None:
        """One message of the answer; waits while too much waits for the client."""
        if self._finished:
            return
        if not self._headers_sent:
            self._headers_sent = True
            self.wire.write(self._headers(statuses.ANSWER_HEADERS))
        self.put(wrap(message))
        if self._pending_bytes:
            await self.room()

    def answer(self, message: bytes) -> None:
        """The whole answer of a unary call that went well."""
        if self._finished:
            return
        self._headers_sent = True
        self.wire.write(self._headers(statuses.ANSWER_HEADERS))
        self.put(wrap(message))
        self._finish(statuses.OK_TRAILERS)

    def finish(self, code: int, text: str = "", trailers: Iterable[tuple[str, bytes]] = ()) -> None:
        """Ends the answer with a status, once. `trailers` have names that end in `-bin`."""
        if self._finished:
            return
        if code == 0:
            if not self._headers_sent:
                self.wire.write(self._headers(statuses.ANSWER_HEADERS))
            self._finish(statuses.OK_TRAILERS)
            return
        binary = [(name, encode_binary(value)) for name, value in trailers]
        self._finish(statuses.trailers(code, text, binary, only=not self._headers_sent))

    # -- for the connection ---------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Its handler is."""
        return self._task is not None

    def begin(self, request: Request, method: Method) -> None:
        """Its headers are known."""
        self.method, self.metadata, self._method = request.path, request.metadata, method
        if request.timeout_s is not None:
            self._deadline = time.monotonic() + request.timeout_s
            self._timer = asyncio.get_running_loop().call_later(request.timeout_s, self._expire)
        if not method.whole_request:
            self._start()

    def refuse(self, block: bytes) -> None:
        """It is no call of gRPC: these headers are the answer."""
        self._finish(block)

    def take_payload(self, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        """Data of the request."""
        if self._finished:  # nobody reads it
            if ended:
                self.take_end()
            return
        try:
            self.receive(payload, flow_bytes)
        except MessageError as error:
            self.abandon(error.code, error.text)
            return
        if ended:
            self.take_end()
        elif len(self._messages) > 1 and self._method is not None and self._method.whole_request:
            self.abandon(Code.INTERNAL.value, NOT_ONE)
        elif self._messages:
            self.tell()

    def take_end(self) -> None:
        """The client said all."""
        self.remote_ended = True
        if self._method is not None and not self._finished:
            if self._reader.partial:
                self.abandon(Code.INTERNAL.value, "the request ended within a message")
            elif self._method.whole_request:
                if len(self._messages) != 1:
                    self.abandon(Code.INTERNAL.value, NOT_ONE)
                    return
                self.request = self.take()
                self._start()
        self.tell()
        self._forget_when_over()

    def abandon(self, code: int, text: str) -> None:
        """Answers with a status now, whatever the handler does and whatever else waits to leave."""
        if not self.local_ended:
            self.discard_output()
            self._finished = False
            self.finish(code, text)
        self.stop()

    def stop(self) -> None:
        """The call is over for the client: its handler is cancelled."""
        self._cancel_timer()
        if self._task is not None and not self._stopped:
            self._stopped = True
            self._task.cancel()

    def drop(self) -> None:
        """Nobody waits for it any more: reset, or the connection is gone."""
        self._finished = self.remote_ended = True
        self.drop_output()
        self.tell()
        self.stop()
        self._connection.forget(self)

    def pump(self) -> None:
        """See Stream."""
        super().pump()
        self._forget_when_over()

    def _start(self) -> None:
        assert self._method is not None, "only calls that have begun"
        self._task = self._connection.run(self, self._method.handle(self))
        self._task.add_done_callback(self._handled)

    def _handled(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:  # handlers answer with their errors: this is a defect of one
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"the handler of {self.method} failed", "exception": error}
            )
        self.finish(Code.INTERNAL.value, "the call was not answered")
        self._connection.ran(self)

    def _expire(self) -> None:
        self.abandon(Code.DEADLINE_EXCEEDED.value, "the deadline has passed")

    def _headers(self, block: bytes, *, last: bool = False) -> bytes:
        wire = self.wire
        if wire.head_prefix:
            block, wire.head_prefix = wire.head_prefix + block, b""
        return frames.headers(self.id, block, end_stream=last, frame_bytes_max=wire.frame_bytes_max)

    def _finish(self, trailers: bytes) -> None:
        self._finished = True
        self.end_with(self._headers(trailers, last=True))
        self._forget_when_over()

    def _forget_when_over(self) -> None:
        if not self.local_ended or not self._finished:
            return
        if not self.remote_ended:  # what else the client has to say nobody will read
            self.remote_ended = True
            self.wire.write(frames.rst_stream(self.id, frames.NO_ERROR))
        self._cancel_timer()
        self._connection.forget(self)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
