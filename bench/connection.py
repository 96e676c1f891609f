"""One keep-alive HTTP/1.1 connection of the load generator: one request at a time, every arrival timed.

Times are CLOCK_MONOTONIC in nanoseconds, the clock that the provider writes into its chunks.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any, cast

import httptools

_CHUNK = re.compile(rb'"tok(\d{19})')
_CHUNK_BYTES = 23  # what the pattern matches; it may lie across two reads
_SHOWN_BYTES_MAX = 200  # of an answer that was refused


class ResponseError(Exception):
    """The answer is not what was asked for; the message says how."""


@dataclass(frozen=True, slots=True)
class Want:
    """What is a right answer. `chunks`: of content in a stream; 0: none. `mark`: in every whole answer.

    `leave_after`: chunks of a stream after which we hang up, as a caller does who has seen enough; 0: never.
    """

    chunks: int = 0
    status: int = 200
    mark: bytes = b'"tok '
    leave_after: int = 0


@dataclass(slots=True)
class Response:
    """`chunk_delays_ns`: of each content chunk of a stream, from the provider's send to our read.

    `left`: we hung up; the connection is closed.
    """

    status: int = 0
    ended_ns: int = 0
    first_token_ns: int = 0
    whole: bool = False
    cache_hit: bool = False
    left: bool = False
    chunk_delays_ns: list[int] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """`ask` sends one request and returns its response. `expected_chunks`: as in Want."""

    def __init__(self, expected_chunks: int = 0, tell: Callable[[int, int], None] | None = None) -> None:
        """`tell` is called with (nanoseconds when it arrived, nanoseconds it took) of each chunk."""
        self._want = Want(expected_chunks)
        self._tell = tell
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._response = Response()
        self._tail = b""
        self._start = b""
        self._arrived_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of its own type

    def ask(self, request: bytes, want: Want | None = None) -> "asyncio.Future[Response]":
        """Raises ResponseError when the connection is lost or the answer is not what was wanted."""
        assert self._transport is not None and self._waiter is None
        self._want = want or self._want
        self._response, self._tail, self._start = Response(), b"", b""
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._arrived_ns = monotonic_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"connection lost: {error}")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"x-cache-status" and value == b"HIT":
            self._response.cache_hit = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser with what a chunked transfer carries, already unwrapped."""
        response = self._response
        searched = self._tail + body
        self._tail = searched[1 - _CHUNK_BYTES :]  # too short for a chunk that was counted
        want = self._want
        if not want.chunks:
            response.whole = response.whole or want.mark in searched
            self._start = (self._start + body)[:_SHOWN_BYTES_MAX]
            return
        for found in _CHUNK.finditer(searched):
            if not response.first_token_ns:
                response.first_token_ns = self._arrived_ns
            response.chunk_delays_ns.append(self._arrived_ns - int(found[1]))
            if self._tell is not None:
                self._tell(self._arrived_ns, self._arrived_ns - int(found[1]))
        if b"[DONE]" in searched:
            response.whole = len(response.chunk_delays_ns) == want.chunks
        elif want.leave_after and len(response.chunk_delays_ns) >= want.leave_after:
            self._leave()

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a response."""
        response, waiter = self._response, self._waiter
        response.status = self._parser.get_status_code()
        response.ended_ns = self._arrived_ns
        if waiter is None or waiter.done():
            return
        self._waiter = None
        if response.status == self._want.status and (response.whole or response.status != 200):
            waiter.set_result(response)
        elif response.status != self._want.status:
            waiter.set_exception(ResponseError(f"status {response.status}: {(self._start or self._tail)!r}"))
        else:
            got = len(response.chunk_delays_ns)
            waiter.set_exception(ResponseError(f"not whole: {got} of {self._want.chunks} chunks"))

    def _leave(self) -> None:
        """In the middle of a stream; what is under way is not read."""
        waiter, self._waiter = self._waiter, None
        self._response.status, self._response.left = self._parser.get_status_code(), True
        self._response.ended_ns = self._arrived_ns
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(self._response)

    def _fail(self, reason: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(ResponseError(reason))
