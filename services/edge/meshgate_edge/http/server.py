"""Serves an ASGI application over HTTP/1.1 inside the event loop that runs already; no signal handlers.

Leaving the context stops accepting, lets requests and streams finish for the grace time, cancels the rest.
"""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from email.utils import formatdate

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.protocol import HttpLimits, LimitedProtocol

log = structlog.get_logger("meshgate.edge.http")

BACKLOG = 2_048
CANCELLED_WAIT_S = 5.0  # for requests that were cancelled at the end of the grace time


@dataclass(frozen=True, slots=True)
class HttpServerOptions:
    """`port` 0: any free one."""

    host: str
    port: int
    grace_s: float
    limits: HttpLimits = field(default_factory=HttpLimits)


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the server listens."""

    host: str
    port: int


@asynccontextmanager
async def serve_http(app: ASGIApp, options: HttpServerOptions, clock: Clock) -> AsyncIterator[HttpAddress]:
    """Serves during the block. Raises FAILED_PRECONDITION/ADDRESS_IN_USE or ADDRESS_INVALID."""
    loop = asyncio.get_running_loop()
    state = ServerState()
    config = _configuration(app, options.limits)

    def connection() -> LimitedProtocol:
        return LimitedProtocol(config, state, loop, options.limits)

    try:
        server = await loop.create_server(
            connection, host=options.host, port=options.port, backlog=BACKLOG, reuse_address=True
        )
    except OSError as error:
        raise _cannot_listen(options, error) from error
    with closing(_DateHeader(state, loop, clock)):
        try:
            host, port = server.sockets[0].getsockname()[:2]
            yield HttpAddress(host, port)
        finally:
            server.close()
            await _drain(state, options.grace_s)


def _configuration(app: ASGIApp, limits: HttpLimits) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips="",  # else read from the environment
        server_header=False,
        date_header=False,  # see `_DateHeader`
        workers=1,  # else read from the environment
        timeout_keep_alive=limits.keep_alive_s,
        reset_contextvars=True,  # a request starts with nothing of what started the server
    )
    config.load()
    return config


async def _drain(state: ServerState, grace_s: float) -> None:
    for connection in list(state.connections):
        connection.shutdown()  # idle ones close now, the others after their answer
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=grace_s)
    late = list(state.tasks)
    if late:
        log.warning("requests cancelled at the end of the grace time", count=len(late), grace_s=grace_s)
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=CANCELLED_WAIT_S)
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # the connections hear of it in the next turn


class _DateHeader:
    """Keeps `date` current, once a second for all answers."""

    def __init__(self, state: ServerState, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._state = state
        self._loop = loop
        self._clock = clock
        self._tick()

    def _tick(self) -> None:
        date = formatdate(self._clock.now_ns() / 1e9, usegmt=True)
        self._state.default_headers = [(b"date", date.encode())]
        self._handle = self._loop.call_later(1.0, self._tick)

    def close(self) -> None:
        self._handle.cancel()


def _cannot_listen(options: HttpServerOptions, error: OSError) -> MeshError:
    where = f"{options.host}:{options.port}"
    if error.errno == errno.EADDRINUSE:
        text = (
            f"cannot listen on {where}: the port is taken; stop what listens there or choose another (PORT)"
        )
        return MeshError(Code.FAILED_PRECONDITION, "ADDRESS_IN_USE", text)
    reason = error.strerror or str(error)
    return MeshError(Code.FAILED_PRECONDITION, "ADDRESS_INVALID", f"cannot listen on {where}: {reason}")
