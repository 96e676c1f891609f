"""One HTTP/1.1 connection to a provider, for one request at a time: httptools' parser, and nothing around it.

Invariants: waiting bytes are bounded, because reading pauses; a response that ends without its end is an
error, and so is what is no HTTP. Only a connection whose last response came to its end is used again.
"""

import asyncio
import math
import zlib
from collections.abc import Sequence
from typing import Final

import httptools

HEADER_BYTES_MAX: Final = 64 * 1024  # of one response header
HEADERS_MAX: Final = 256
HEAD_BYTES_MAX: Final = 512 * 1024  # of all of them, and of what came without one
READ_BUFFER_BYTES: Final = 128 * 1024  # waiting bytes beyond it stop the provider from sending more
UNPACKED_BYTES_MAX: Final = 1024 * 1024  # at a time, of a compressed body
INFORMATIONAL: Final = range(100, 200)
PACKED: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class NotHttpError(Exception):
    """What came is not what HTTP allows."""


class ConnectionBrokenError(OSError):
    """It ended before the response did."""


class HttpConnection(asyncio.Protocol):
    """See the module. `send`, then `head`, then `read_some` until it gives nothing; `close` at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._lost = False
        self._reset()
        self._complete = True

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[str, str] = {}  # lower-case names; of repeated ones the first counts
        self._header_count = 0
        self._head_done = False
        self._has_length = False
        self._complete = False
        self._kept = True  # by the provider, after this response
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._silent_bytes = 0  # since the parser told of something
        self._paused = False
        self._unpacker: _Unpacker | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_usable(self) -> bool:
        """Another request may be sent."""
        transport = self._transport
        alive = transport is not None and not self._lost and not transport.is_closing()
        return alive and self._complete and self._kept and self._error is None

    @property
    def is_read(self) -> bool:
        """The response has come to its end, and all of it was read."""
        unpacker = self._unpacker
        return self._complete and not self._pieces and (unpacker is None or not unpacker.has_more)

    def send(self, head: bytes, body: bytes) -> None:
        """A request. Writes are buffered without a limit: the body is in memory anyway."""
        assert self._transport is not None and self._complete, "one request at a time"
        self._reset()
        self._transport.writelines((head, body) if body else (head,))

    async def head(self, at_s: float) -> None:
        """Waits for the response's head until `at_s` of the loop's clock. Raises TimeoutError, NotHttpError,
        ConnectionBrokenError."""
        while not self._head_done:
            await self._more(at_s)
        packing = self.headers.get("content-encoding", "").strip().lower()
        if packing and packing != "identity":
            if packing not in PACKED:
                raise NotHttpError(packing)
            self._unpacker = _Unpacker(packing)

    async def read_some(self, at_s: float = math.inf) -> bytes:
        """All that waits, at least one byte; b"" at the end. Raises as `head`."""
        while True:
            if self._unpacker is not None and self._unpacker.has_more:
                data = self._unpacker.feed(b"")
            elif self._pieces:
                data = self._taken()
                if self._unpacker is not None:
                    data = self._unpacker.feed(data)
            elif self._complete:
                return b""
            else:
                await self._more(at_s)
                continue
            if data:
                return data

    def close(self) -> None:
        """At once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def _taken(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces, self._waiting_bytes = [], 0
        if self._paused and self._transport is not None and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _more(self, at_s: float) -> None:
        """Until something came."""
        if self._error is not None:
            raise self._error
        waiter = self._waiter = self._loop.create_future()
        timer = None if at_s == math.inf else self._loop.call_at(at_s, _expire, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._error is None or self._pieces:
            waiter.set_result(None)
        else:
            waiter.set_exception(self._error)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self.close()
        self._wake()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # it writes, too

    def data_received(self, data: bytes) -> None:
        if self._complete:  # more than was asked for: nobody knows what follows
            self.close()
            return
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(NotHttpError(type(error).__name__))
            return
        if self._silent_bytes > HEAD_BYTES_MAX:
            self._fail(NotHttpError("too long a head"))
            return
        if self._waiting_bytes > READ_BUFFER_BYTES and not self._paused and not self._complete:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()
        if self._pieces or self._head_done or self._complete:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if not self._complete:
            if exc is None and self._head_done and not self._has_length:
                self._complete = True  # a body that the end of the connection ends
            elif self._error is None:
                self._error = ConnectionBrokenError("the connection ended")
        self._wake()

    # httptools' side

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > HEADERS_MAX or len(name) + len(value) > HEADER_BYTES_MAX:
            raise NotHttpError("too many or too long headers")
        key = name.decode("latin-1").lower()
        if key in ("content-length", "transfer-encoding"):
            self._has_length = True
        self.headers.setdefault(key, value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._silent_bytes = 0
        if self.status not in INFORMATIONAL:
            self._head_done = True

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        self._pieces.append(body)
        self._waiting_bytes += len(body)

    def on_chunk_header(self) -> None:
        self._silent_bytes = 0

    def on_message_complete(self) -> None:
        if self.status in INFORMATIONAL:
            self.headers, self._header_count, self._has_length = {}, 0, False
            return
        self._complete = True
        self._kept = self._parser.should_keep_alive()


class _Unpacker:
    """A compressed body, unpacked in bounded pieces."""

    def __init__(self, packing: str) -> None:
        self._packing = packing
        self._stream = zlib.decompressobj(PACKED[packing])
        self._begun = False

    @property
    def has_more(self) -> bool:
        """Input that was fed and not unpacked yet."""
        return bool(self._stream.unconsumed_tail)

    def feed(self, data: bytes) -> bytes:
        """Some of what it stands for, perhaps nothing yet. Raises NotHttpError."""
        stream = self._stream
        if not self._begun and data and self._packing == "deflate" and data[0] & 0x0F != 8:
            stream = self._stream = zlib.decompressobj(-zlib.MAX_WBITS)  # without zlib's frame
        self._begun = self._begun or bool(data)
        try:
            return stream.decompress(stream.unconsumed_tail + data, UNPACKED_BYTES_MAX)
        except zlib.error as error:
            raise NotHttpError("damaged compression") from error


def request_head(method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Raises ValueError for what would be more than one line each."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise ValueError("a header or an address has a line end")
    return text.encode("utf-8") + b"\r\n\r\n"


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
