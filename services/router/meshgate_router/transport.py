"""HTTP to the providers: one session per upstream host, limits on everything, and nothing else.

Invariants: no redirects, no cookies, no retries. A response that is not read to its end closes its
connection at once, so that the provider stops working. Errors are ProviderErrors that tell no address
and no header.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from meshgate_router.providers.base import ErrorKind, ProviderError, UpstreamRequest, senseless
from meshgate_router.read_alarm import ReadAlarm

HEADER_BYTES_MAX: Final = 64 * 1024  # of one response header
HEADERS_MAX: Final = 256
READ_BUFFER_BYTES: Final = 128 * 1024  # waiting bytes beyond it stop the provider from sending more
CONNECT_SHARE_MAX: Final = 0.9  # of the time until the first byte: then it is certain what was (not) sent
DRAIN_S: Final = 0.05  # for the few bytes that end a finished stream and set its connection free


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


class _Body(aiohttp.BytesPayload):
    """Knows whether it is on its way, and whether all of it is."""

    begun = False
    whole = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.begun = True
        await super().write_with_length(writer, content_length)
        self.whole = True


class Transport:
    """Sends requests. Needs a running event loop; close it with `close`."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def open(self, request: UpstreamRequest, timeouts: CallTimeouts) -> "UpstreamResponse":
        """The response, as soon as its headers are there. Close it. Raises ProviderError, and
        CancelledBeforeSentError instead of CancelledError when nothing was sent."""
        url, body = URL(request.url, encoded=True), _Body(request.body)
        end_s = asyncio.get_running_loop().time() + timeouts.total_s
        first_byte_s = min(timeouts.first_byte_s, timeouts.total_s)
        connect_s = min(timeouts.connect_s, first_byte_s * CONNECT_SHARE_MAX)
        try:
            async with asyncio.timeout(first_byte_s):
                response = await self._session(url).request(
                    request.method,
                    url,
                    data=body,
                    headers=request.headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        connect=connect_s,
                        sock_connect=connect_s,
                        sock_read=None,
                        ceil_threshold=math.inf,
                    ),
                )
        except asyncio.CancelledError as error:
            if body.begun:
                raise
            raise CancelledBeforeSentError from error
        except aiohttp.ConnectionTimeoutError as error:
            raise late(f"no connection to the provider within {connect_s:g} s", sent=False) from error
        except TimeoutError as error:
            message = f"the provider did not begin to answer within {first_byte_s:g} s"
            raise late(message, unanswered=body.whole) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _error_of(error, unanswered=body.whole) from error
        return UpstreamResponse(response, self._limits, timeouts, end_s)

    async def close(self) -> None:
        """Closes every connection."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    def _session(self, url: URL) -> aiohttp.ClientSession:
        origin = f"{url.scheme}://{url.raw_authority}"
        session = self._sessions.get(origin)
        if session is None:
            if len(self._sessions) >= self._limits.hosts_max:
                raise ValueError("too many upstream hosts")
            session = self._sessions[origin] = self._new_session()
        return session

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limits.connections_max,
                limit_per_host=0,
                keepalive_timeout=self._limits.idle_s,
                ttl_dns_cache=30,
                ssl=True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "gzip, deflate"},
            auto_decompress=True,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
        )


class UpstreamResponse:
    """One response. `headers` have lower-case names; of repeated ones the first counts."""

    def __init__(
        self, response: aiohttp.ClientResponse, limits: TransportLimits, timeouts: CallTimeouts, end_s: float
    ) -> None:
        self._response = response
        self._limits = limits
        self._timeouts = timeouts
        self._end_s = end_s
        self._loop = asyncio.get_running_loop()
        self._alarm = ReadAlarm(response.content)
        self._size_bytes = 0
        self.status = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            headers.setdefault(name.lower(), value)
        self.headers: Mapping[str, str] = headers

    async def read_some(self, limit: Limit = UNLIMITED, *, begun: bool = True) -> bytes:
        """All bytes that are waiting, at least one; b"" at the proper end. Raises ProviderError.

        `limit`: the reader's own. `begun`: silence is limited as well.
        """
        silent_at_s = self._loop.time() + self._timeouts.between_reads_s if begun else math.inf
        at_s = min(silent_at_s, self._end_s, limit.at_s)
        self._alarm.set(at_s)
        try:
            data = await self._response.content.readany()
        except TimeoutError as error:
            raise late(self._passed(at_s, limit), unanswered=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _error_of(error, unanswered=True) from error
        finally:
            self._alarm.pause()
        if self._alarm.rang:  # just as something came
            raise late(self._passed(at_s, limit), unanswered=True)
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
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # Then the connection is of no further use.
        self.close()

    def close(self) -> None:
        """Gives the connection back if the body was read to its end; else ends it at once."""
        self._alarm.switch_off()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def late(message: str, *, sent: bool = True, unanswered: bool = False) -> ProviderError:
    """A limit was passed; the message tells which."""
    return ProviderError(ErrorKind.TIMEOUT, message, 408, sent=sent, unanswered=unanswered)


def _error_of(error: Exception, *, unanswered: bool) -> ProviderError:
    """The connection's failure in our words; aiohttp's would tell addresses."""
    if isinstance(error, aiohttp.ClientConnectorError):
        message = f"no connection to the provider ({type(error.os_error).__name__})"
        return ProviderError(ErrorKind.UNAVAILABLE, message, 500, sent=False)
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return ProviderError(ErrorKind.OTHER, "the deployment's address cannot be used", 500, sent=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return senseless("it is not proper HTTP")
    message = "the connection to the provider broke"
    return ProviderError(ErrorKind.UNAVAILABLE, message, 500, unanswered=unanswered)
