"""A provider made of recordings: a raw HTTP server that cuts its bytes at arbitrary places.

The path says which exchange to answer with: /PROVIDER/NUMBER/whatever. How the body is framed and where
it is cut is drawn from a seed; nothing depends on time. Bodies of requests are kept, for the test to see.
"""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Iterable
from random import Random
from typing import Any

from tests.support.cassettes import Exchange

PIECES_MAX = 40
FRAMINGS = ("chunked", "length", "close", "gzip")


class ReplayUpstream:
    """Answers with recordings; made by `replay_upstream`."""

    def __init__(self, exchanges: Iterable[Exchange], seed: int) -> None:
        self._exchanges = {str(exchange): exchange for exchange in exchanges}
        self._random = Random(seed)
        self.bodies: dict[str, dict[str, Any]] = {}
        self.framings: set[str] = set()
        self.port = 0

    def base(self, exchange: Exchange) -> str:
        """The address whose calls are answered with this exchange."""
        return f"http://127.0.0.1:{self.port}/{exchange.provider}/{exchange.number}{exchange.base_end}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False: the connection is to be closed."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        _, provider, number, *_ = lines[0].split(" ")[1].split("/")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        body = await reader.readexactly(int(fields["content-length"]))
        exchange = self._exchanges[f"{provider}-{number}"]
        self.bodies[str(exchange)] = json.loads(body)
        framing = self._random.choice(FRAMINGS)
        self.framings.add(framing)
        for piece in self._cut(_response(exchange, framing, self._random)):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return framing != "close"

    def _cut(self, data: bytes) -> list[bytes]:
        places = sorted(
            self._random.randrange(len(data) + 1) for _ in range(self._random.randrange(PIECES_MAX))
        )
        return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _response(exchange: Exchange, framing: str, random: Random) -> bytes:
    """Status line, headers and framed body."""
    kept = {name: value for name, value in exchange.headers.items() if name not in ("content-encoding",)}
    kept.setdefault("content-type", "text/event-stream" if exchange.stream else "application/json")
    body = exchange.raw
    if framing == "gzip":
        body = gzip.compress(body)
        kept["content-encoding"] = "gzip"
    if framing in ("chunked", "gzip"):
        kept["transfer-encoding"] = "chunked"
        body = _chunked(body, random)
    elif framing == "length":
        kept["content-length"] = str(len(body))
    else:
        kept["connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
    return f"HTTP/1.1 {exchange.status} Recorded\r\n{head}\r\n".encode() + body


def _chunked(body: bytes, random: Random) -> bytes:
    framed = b""
    while body:
        size = random.randint(1, max(1, len(body)))
        framed += f"{size:x}\r\n".encode() + body[:size] + b"\r\n"
        body = body[size:]
    return framed + b"0\r\n\r\n"


@contextlib.asynccontextmanager
async def replay_upstream(exchanges: Iterable[Exchange], seed: int) -> AsyncIterator[ReplayUpstream]:
    """Serves on loopback while it is open."""
    upstream = ReplayUpstream(exchanges, seed)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await server.wait_closed()
