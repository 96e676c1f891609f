"""One HTTP/1.1 connection: uvicorn's httptools protocol, with a named limit on everything a client sends.

uvicorn has no limit on a head that never ends, on its number of headers, on how slowly it comes or on how
slowly an answer is read. What passes a limit is answered in OpenAI's error format, and the connection ends.
"""

import asyncio
from dataclasses import dataclass

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.errors import render_error
from meshgate_edge.http.joined_head import JoinedHead


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may ask for.

    `head_timeout_s`: for a whole head, from the first byte or from the connection's start.
    `write_stall_s`: how long a reader may leave a full buffer unread.
    `unread_bytes_max`: of what comes after an answer that did not wait for it; it is read and dropped,
    because a client that is still writing would not see the answer if the connection were closed under it.
    `linger_s`: how long that goes on after the last answer of a connection.
    """

    url_bytes_max: int = 16 * 1024
    header_count_max: int = 100
    head_bytes_max: int = 64 * 1024
    head_timeout_s: float = 20.0
    keep_alive_s: int = 75
    write_stall_s: float = 30.0
    unread_bytes_max: int = 64 * 1024 * 1024
    linger_s: float = 2.0
    connections_max: int = 10_000


class _RefusedError(Exception):
    """Leaves the parser; `_refusal` says why."""


class LimitedProtocol(HttpToolsProtocol):
    """See the module. The parser may hold `head_bytes_max` bytes at most without telling us of them."""

    def __init__(
        self, config: Config, state: ServerState, loop: asyncio.AbstractEventLoop, limits: HttpLimits
    ) -> None:
        super().__init__(config, state, {}, loop)
        self.access_log = False  # calls are logged by the gateway itself
        self._limits = limits
        self._refusal: MeshError | None = None
        self._told = False
        self._in_head = False
        self._repeated_head = False
        self._lingering = False
        self._silent_bytes = 0
        self._header_count = 0
        self._header_bytes = 0
        self._unread_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._begun: RequestResponseCycle | None = None  # its answer's head was written

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(JoinedHead(transport, self.loop, self._begins_answer))
        if len(self.connections) > self._limits.connections_max:
            refusal = _refused(Code.RESOURCE_EXHAUSTED, "CONNECTION_LIMIT", "too many connections are open")
            self.transport.write(_whole_answer(refusal))
            self.transport.close()
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering or self.transport.is_closing():
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        self._told = False
        rest = data
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserError:
            malformed = _refused(Code.INVALID_ARGUMENT, "HTTP_MALFORMED", "this is not a valid HTTP request")
            self._end(self._refusal or malformed)
            return
        self._silent_bytes = 0 if self._told else self._silent_bytes + len(data)
        if self._silent_bytes > self._limits.head_bytes_max:
            self._end(self._head_too_large())
        elif self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_head_timer()

    def _feed(self, data: bytes) -> bytes:
        """Parses up to a head that asks for an upgrade; returns what follows it.

        No upgrade is offered, and the request is answered as it is (`curl --http2` and Java's client ask with
        every first request). httptools leaves the body of such a request unread, though. So another parser
        takes over, which is shown a head with the same body and without the question.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            framing = [
                name + b": " + value
                for name, value in self.headers
                if name in (b"content-length", b"transfer-encoding")
            ]
            self.parser = httptools.HttpRequestParser(self)
            self.cycle.more_body = True
            self.cycle.message_event.clear()
            self._repeated_head = True
            self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", b""]))
            self._repeated_head = False
            return data[upgrade.args[0] :]
        return b""

    def on_message_begin(self) -> None:
        if self._repeated_head:
            return
        self._told = True
        self._in_head = True
        self._header_count = 0
        self._header_bytes = 0
        self._unread_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._repeated_head:
            return
        self._told = True
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes_max:
            self._refuse(
                _refused(
                    Code.OUT_OF_RANGE,
                    "URL_TOO_LONG",
                    f"the URL is longer than {self._limits.url_bytes_max} bytes",
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._repeated_head:
            return
        self._told = True
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        over_count = self._header_count > self._limits.header_count_max
        if over_count or self._header_bytes > self._limits.head_bytes_max:
            self._refuse(self._head_too_large())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._repeated_head:
            return
        self._told = True
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._told = True
        if self.cycle.response_complete:
            self._drop(len(body))
        super().on_body(body)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self._limits.write_stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()

    def _begins_answer(self) -> bool:
        """Whether what uvicorn writes now is the head of the answer under way."""
        if self.cycle is None or not self.cycle.response_started or self.cycle is self._begun:
            return False
        self._begun = self.cycle
        return True

    def _drop(self, size_bytes: int) -> None:
        self._unread_bytes += size_bytes
        if self._unread_bytes > self._limits.unread_bytes_max:
            self.transport.abort()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_timeout_s, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._end(
                _refused(
                    Code.DEADLINE_EXCEEDED,
                    "HEAD_TIMEOUT",
                    f"the request's head did not arrive within {self._limits.head_timeout_s:g} s",
                )
            )
        else:
            self.transport.close()

    def _head_too_large(self) -> MeshError:
        limits = f"{self._limits.header_count_max} headers and {self._limits.head_bytes_max} bytes"
        return _refused(Code.OUT_OF_RANGE, "HEADERS_TOO_LARGE", f"a request may have {limits} of headers")

    def _refuse(self, refusal: MeshError) -> None:
        """Out of a parser callback."""
        self._refusal = refusal
        raise _RefusedError

    def _end(self, refusal: MeshError) -> None:
        """Answers, unless an answer is under way, and closes when the client has had time to read it."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()
            return
        self.transport.write(_whole_answer(refusal))
        self.transport.write_eof()
        self._lingering = True
        self._head_timer = self.loop.call_later(self._limits.linger_s, self.transport.abort)


def _refused(code: Code, reason: str, message: str) -> MeshError:
    return MeshError(code, reason, message, domain="gateway.meshgate")


def _whole_answer(refusal: MeshError) -> bytes:
    rendered = render_error(refusal)
    body = dumps(rendered.body)
    lines = [
        STATUS_LINE[rendered.status],
        b"content-type: application/json\r\n",
        b"content-length: %d\r\n" % len(body),
        b"connection: close\r\n",
        *(name + b": " + value + b"\r\n" for name, value in rendered.headers),
        b"\r\n",
        body,
    ]
    return b"".join(lines)
