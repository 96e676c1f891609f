"""The demo provider on a real socket, inside the test's own event loop."""

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import uvicorn

from meshgate_demo.server import configuration
from meshgate_demo.settings import DemoSettings


@dataclass(frozen=True, slots=True)
class DemoProvider:
    """`url` has no path; append /v1/chat/completions, /v1/messages, /demo/faults or /demo/requests."""

    url: str
    host: str
    port: int


@contextlib.asynccontextmanager
async def demo_provider(settings: DemoSettings | None = None) -> AsyncIterator[DemoProvider]:
    """Serves until the block ends. Without settings there is no delay between chunks."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()[:2]
    chosen = settings or DemoSettings(chunk_delay_s=0.0)
    config = configuration(replace(chosen, listen=f"{host}:{port}"))
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])  # not serve(): that polls, and takes the signals from pytest
    try:
        yield DemoProvider(f"http://{host}:{port}", host, port)
    finally:
        await server.shutdown(sockets=[listener])
