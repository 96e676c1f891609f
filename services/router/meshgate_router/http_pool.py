"""Connections to one upstream host: made when needed, kept for a while, never more than their limit.

Addresses are tried as RFC 8305 says (IPv6 and IPv4 a quarter of a second apart), so that a broken one costs
no more than that.
"""

import asyncio
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

import aiohappyeyeballs

from meshgate_router.http_connection import HttpConnection

HAPPY_EYEBALLS_S: Final = 0.25
PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect to. `scheme`: http or https."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart. `host_header`: as HTTP wants it; `authorization`: of its user, else empty."""

    origin: Origin
    target: str
    host_header: str
    authorization: str = ""


@lru_cache(maxsize=1_024)
def address_of(url: str) -> Address:
    """Raises ValueError for what no request can be sent to."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("not an http address")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    port = parts.port or PORTS[parts.scheme]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or any(character <= " " for character in target):
        raise ValueError("an address has to be quoted")
    shown = f"[{host}]" if ":" in host else host
    shown = shown if port == PORTS[parts.scheme] else f"{shown}:{port}"
    authorization = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(user.encode()).decode()}"
    return Address(Origin(parts.scheme, host, port), target, shown, authorization)


class HttpPool:
    """Of one origin. `take` a connection, then `give` it back or close it and `leave`."""

    def __init__(
        self, origin: Origin, connections_max: int, idle_s: float, tls: ssl.SSLContext | None
    ) -> None:
        self._origin = origin
        self._idle_s = idle_s
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(connections_max)
        self._idle: list[tuple[float, HttpConnection]] = []  # until when; the latest last
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self) -> HttpConnection:
        """An idle one, else a new one, once there is a place for it. Raises OSError."""
        await self._places.acquire()
        while self._idle:
            _, connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        try:
            return await self._connect()
        except BaseException:
            self._places.release()
            raise

    def leave(self, connection: HttpConnection) -> None:
        """After `take`: keeps it if it can be used again, else closes it."""
        self._places.release()
        if not connection.is_usable or self._closed:
            connection.close()
            return
        self._idle.append((self._loop.time() + self._idle_s, connection))
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle_s, self._sweep)

    def close(self) -> None:
        """Ends the idle ones; those in use end when they are left."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()

    def _sweep(self) -> None:
        now_s = self._loop.time()
        while self._idle and (self._idle[0][0] <= now_s or not self._idle[0][1].is_usable):
            self._idle.pop(0)[1].close()
        self._timer = None
        if self._idle:
            self._timer = self._loop.call_at(self._idle[0][0], self._sweep)

    async def _connect(self) -> HttpConnection:
        origin, loop = self._origin, self._loop
        infos = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        found = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=HAPPY_EYEBALLS_S, interleave=1, loop=loop
        )
        try:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: HttpConnection(loop),
                sock=found,
                ssl=self._tls,
                server_hostname=origin.host if self._tls is not None else None,
            )
        except BaseException:
            found.close()
            raise
        return connection
