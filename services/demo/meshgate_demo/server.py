"""The HTTP server: uvicorn, with one addition, that an application may end its connection at any byte."""

import asyncio

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from meshgate_demo.app import build
from meshgate_demo.conversation import HANG_UP
from meshgate_demo.settings import DemoSettings

GRACE_S = 1  # for streams under way at shutdown


class HangUpProtocol(HttpToolsProtocol):
    """Gives scope["extensions"][HANG_UP](reset) to the application."""

    # Like its base, which narrows the type of its own base.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: ASGIApp = self.app

        def hang_up(reset: bool) -> None:
            if reset:
                transport.abort()
            else:
                transport.close()

        async def app_that_may_hang_up(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = hang_up
            await app(scope, receive, send)

        self.app = app_that_may_hang_up


def configuration(settings: DemoSettings) -> uvicorn.Config:
    """What uvicorn needs; also used to serve inside another event loop."""
    return uvicorn.Config(
        build(settings),
        host=settings.host,
        port=settings.port,
        http=HangUpProtocol,
        loop="auto",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def serve(settings: DemoSettings) -> None:
    """Until SIGTERM or SIGINT."""
    uvicorn.Server(configuration(settings)).run()
