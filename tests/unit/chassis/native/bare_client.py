"""A client that speaks as much HTTP/2 as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.frames import Frame, FrameReader
from meshgate_chassis.rpc.http2.headers import HeaderDecoder
from meshgate_chassis.rpc.http2.messages import wrap
from tests.unit.chassis.http2.support import head

READ_S = 20.0


class BareClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._cutter, self._decoder = FrameReader(1 << 20), HeaderDecoder(1 << 20)
        self._waiting: list[Frame] = []
        self._next_id = 1

    def say(self, data: bytes) -> None:
        """Frames, or whatever."""
        self._writer.write(data)

    def call(self, path: str, request: bytes | None, *fields: tuple[str, str]) -> int:
        """Its stream. `request`: a message, or None when the client has not said all."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self.say(frames.headers(stream_id, head(path, *fields), end_stream=False, frame_bytes_max=16_384))
        if request is not None:
            self.say(frames.data(stream_id, wrap(request), end_stream=True))
        return stream_id

    async def next(self, *kinds: int) -> Frame:
        """The next frame of these kinds; others are passed over."""
        async with asyncio.timeout(READ_S):
            while True:
                while self._waiting:
                    frame = self._waiting.pop(0)
                    if frame[0] in kinds:
                        return frame
                data = await self._reader.read(65_536)
                assert data, "the server has closed the connection"
                self._waiting = self._cutter.feed(data)

    async def headers(self) -> dict[str, str]:
        """Of the next block."""
        return dict(self._decoder.decode((await self.next(frames.HEADERS))[3]))

    async def rest(self) -> list[Frame]:
        """All that comes until the server closes."""
        frames_left, self._waiting = self._waiting, []
        async with asyncio.timeout(READ_S):
            while data := await self._reader.read(65_536):
                frames_left += self._cutter.feed(data)
        return frames_left

    @classmethod
    @asynccontextmanager
    async def connected(cls, path: str) -> AsyncIterator[Self]:
        """To a Unix socket; settings are sent."""
        reader, writer = await asyncio.open_unix_connection(path.removeprefix("unix:"))
        try:
            client = cls(reader, writer)
            client.say(frames.CLIENT_PREFACE + frames.settings({}))
            yield client
        finally:
            writer.close()
