"""HTTP/1.1 by hand, over a real socket: what a client library would hide can be sent and seen."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

READ_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The `error` object of OpenAI's format."""
        error = self.json()["error"]
        assert isinstance(error, dict)
        return error


class RawConnection:
    """One connection. Every read ends within a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Writes; a peer that has closed meanwhile is no error here."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def request(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One whole exchange. A body that is not bytes is sent as JSON."""
        await self.send(request_bytes(method, path, body, headers))
        return await self.answer(head_only=method == "HEAD")

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer."""
        status, headers = await self.head()
        if head_only:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            pieces = [piece async for piece in self.chunks()]
            return Answer(status, headers, b"".join(pieces))
        length = int(headers.get("content-length", "0"))
        async with asyncio.timeout(READ_TIMEOUT_S):
            return Answer(status, headers, await self.reader.readexactly(length))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        async with asyncio.timeout(READ_TIMEOUT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked body, as they come."""
        while True:
            async with asyncio.timeout(READ_TIMEOUT_S):
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                data = await self.reader.readexactly(size + 2)
            if size == 0:
                return
            yield data[:-2]

    async def closed(self) -> bool:
        """True when the server closes, whatever it still sends."""
        async with asyncio.timeout(READ_TIMEOUT_S):
            with suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass
        return True


def request_bytes(
    method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A request as bytes; `headers` replace the usual ones, an empty value leaves one out."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    usual = {"host": "test", "content-length": str(len(data))}
    if data:
        usual["content-type"] = "application/json"
    lines = [f"{name}: {value}" for name, value in (usual | dict(headers or {})).items() if value]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + data


@asynccontextmanager
async def connect(port: int, host: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """A connection for the block."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
