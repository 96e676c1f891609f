"""HTTP to the providers: one session per upstream host, limits on everything, and nothing else.

Invariants: no redirects, no cookies, no retries. A response that is not read to its end closes its
connection at once, so that the provider stops working. Errors are ProviderErrors that tell no address
and no header.
"""

import asyncio
import contextlib
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshgate_router.http_connection import (
    HttpConnection,
    NotHttpError,
    request_head,
)
from meshgate_router.http_pool import Address, HttpPool, Origin, address_of
from meshgate_router.providers.base import ErrorKind, ProviderError, UpstreamRequest, senseless

CONNECT_SHARE_MAX: Final = 0.9  # of the time until the first byte: then it is certain what was (not) sent
DRAIN_S: Final = 0.05  # for the few bytes that end a finished stream and set its connection free
OWN_HEADERS: Final = (("accept", "*/*"), ("accept-encoding", "gzip, deflate"), ("user-agent", "meshgate"))
ALPN: Final = ("http/1.1",)


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """`connections_max`: for each upstream host; more wait, as part of connecting."""

    connections_max: int = 1_000
    hosts_max: int = 256
    idle_s: float = 15.0  # an unused connection is kept this long
    response_bytes_max: int = 32 * 1024 * 1024  # uncompressed
    error_bytes_max: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """Of one provider call. `connect_s` includes waiting for a free connection; `first_byte_s` is until the
    first token of a stream, else until the headers; `between_reads_s`: silence while the body comes;
    `between_tokens_s`: the same, when comments and empty chunks count as silence; None: unlimited."""

    connect_s: float
    first_byte_s: float
    between_reads_s: float
    total_s: float
    between_tokens_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """`at_s`: on the event loop's clock. `message`: what to say when it is passed."""

    at_s: float
    message: str


UNLIMITED: Final = Limit(math.inf, "")


class CancelledBeforeSentError(asyncio.CancelledError):
    """The call was cancelled while there was no connection: the provider knows nothing of it."""


class Transport:
    """Sends requests. Needs a running event loop; close it with `close`."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._pools: dict[Origin, HttpPool] = {}
        self._tls: ssl.SSLContext | None = None

    async def open(self, request: UpstreamRequest, timeouts: CallTimeouts) -> "UpstreamResponse":
        """The response, as soon as its headers are there. Close it. Raises ProviderError, and
        CancelledBeforeSentError instead of CancelledError when nothing was sent."""
        start_s = asyncio.get_running_loop().time()
        first_byte_s = min(timeouts.first_byte_s, timeouts.total_s)
        try:
            address = address_of(request.url)
            head = request_head(request.method, address.target, _headers(request, address))
            pool = self._pool(address.origin)
        except ValueError as error:
            message = "the deployment's address cannot be used"
            raise ProviderError(ErrorKind.OTHER, message, 500, sent=False) from error
        connection = await _connection(pool, min(timeouts.connect_s, first_byte_s * CONNECT_SHARE_MAX))
        response = UpstreamResponse(connection, pool, self._limits, timeouts, start_s + timeouts.total_s)
        begun = False
        try:
            connection.send(head, request.body)
            await connection.head(start_s + first_byte_s)
            begun = True
        except TimeoutError as error:
            raise late(f"the provider did not begin to answer within {first_byte_s:g} s") from error
        except (OSError, NotHttpError) as error:
            raise _error_of(error) from error
        finally:
            if not begun:
                response.close()
        response.begin()
        return response

    async def close(self) -> None:
        """Closes every connection."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def _pool(self, origin: Origin) -> HttpPool:
        pool = self._pools.get(origin)
        if pool is None:
            if len(self._pools) >= self._limits.hosts_max:
                raise ValueError("too many upstream hosts")
            tls = self._tls_context() if origin.scheme == "https" else None
            pool = HttpPool(origin, self._limits.connections_max, self._limits.idle_s, tls)
            self._pools[origin] = pool
        return pool

    def _tls_context(self) -> ssl.SSLContext:
        """With the system's certificates; made once, because reading them takes a while."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(ALPN)
        return self._tls


async def _connection(pool: HttpPool, connect_s: float) -> HttpConnection:
    """Raises ProviderError, and CancelledBeforeSentError instead of CancelledError."""
    try:
        async with asyncio.timeout(connect_s):
            return await pool.take()
    except asyncio.CancelledError as error:
        raise CancelledBeforeSentError from error
    except TimeoutError as error:
        raise late(f"no connection to the provider within {connect_s:g} s", sent=False) from error
    except (OSError, UnicodeError) as error:  # a name that is none, too
        message = f"no connection to the provider ({type(error).__name__})"
        raise ProviderError(ErrorKind.UNAVAILABLE, message, 500, sent=False) from error


def _headers(request: UpstreamRequest, address: Address) -> list[tuple[str, str]]:
    """The request's, and what HTTP needs; the request's own word counts."""
    given = {name.lower() for name in request.headers}
    headers = [("host", address.host_header), *request.headers.items()]
    headers += [each for each in OWN_HEADERS if each[0] not in given]
    if address.authorization and "authorization" not in given:
        headers.append(("authorization", address.authorization))
    if request.body or request.method != "GET":
        headers.append(("content-length", str(len(request.body))))
    return headers


class UpstreamResponse:
    """One response. `headers` have lower-case names; of repeated ones the first counts."""

    def __init__(
        self,
        connection: HttpConnection,
        pool: HttpPool,
        limits: TransportLimits,
        timeouts: CallTimeouts,
        end_s: float,
    ) -> None:
        self._connection = connection
        self._pool = pool
        self._limits = limits
        self._timeouts = timeouts
        self._end_s = end_s
        self._size_bytes = 0
        self._closed = False
        self.status = 0
        self.headers: Mapping[str, str] = {}

    def begin(self) -> None:
        """The head is there."""
        self.status, self.headers = self._connection.status, self._connection.headers

    async def read_some(self, limit: Limit = UNLIMITED, *, begun: bool = True) -> bytes:
        """All bytes that are waiting, at least one; b"" at the proper end. Raises ProviderError.

        `limit`: the reader's own. `begun`: silence is limited as well.
        """
        now_s = asyncio.get_running_loop().time()
        silent_at_s = now_s + self._timeouts.between_reads_s if begun else math.inf
        at_s = min(silent_at_s, self._end_s, limit.at_s)
        try:
            data = await self._connection.read_some(at_s)
        except TimeoutError as error:
            raise late(self._passed(at_s, limit)) from error
        except (OSError, NotHttpError) as error:
            raise _error_of(error) from error
        self._size_bytes += len(data)
        if self._size_bytes > self._limits.response_bytes_max:
            raise senseless(f"it exceeds {self._limits.response_bytes_max} bytes")
        return data

    def _passed(self, at_s: float, limit: Limit) -> str:
        """Which limit it was."""
        if at_s == limit.at_s:
            return limit.message
        if at_s == self._end_s:
            return f"the provider's answer was not whole within {self._timeouts.total_s:g} s"
        return f"the provider was silent for {self._timeouts.between_reads_s:g} s in the middle of its answer"

    async def read_all(self) -> bytes:
        """The whole body. Raises ProviderError."""
        pieces = []
        while data := await self.read_some():
            pieces.append(data)
        return b"".join(pieces)

    async def read_error(self) -> bytes:
        """The body of an error, cut at its limit; what there is of it if it breaks off."""
        pieces: list[bytes] = []
        size_bytes = 0
        try:
            while size_bytes < self._limits.error_bytes_max and (data := await self.read_some()):
                pieces.append(data)
                size_bytes += len(data)
        except ProviderError:
            pass  # The status alone says enough.
        return b"".join(pieces)[: self._limits.error_bytes_max]

    async def finish(self) -> None:
        """After the last event: sets the connection free if the body ends now, else closes it."""
        with contextlib.suppress(OSError, NotHttpError):  # then the connection is of no further use
            await self._connection.read_some(asyncio.get_running_loop().time() + DRAIN_S)
        self.close()

    def close(self) -> None:
        """Gives the connection back if the body was read to its end; else ends it at once."""
        if self._closed:
            return
        self._closed = True
        if not self._connection.is_read:
            self._connection.close()
        self._pool.leave(self._connection)


def late(message: str, *, sent: bool = True) -> ProviderError:
    """A limit was passed; the message tells which."""
    return ProviderError(ErrorKind.TIMEOUT, message, 408, sent=sent)


def _error_of(error: OSError | NotHttpError) -> ProviderError:
    """The connection's failure in our words; the system's would tell addresses."""
    if isinstance(error, NotHttpError):
        return senseless("it is not proper HTTP")
    return ProviderError(ErrorKind.UNAVAILABLE, "the connection to the provider broke", 500)
