"""Sends one answer over ASGI, notices at once when the caller leaves, and records what was sent.

Invariant: the record counts a chunk only when it was handed to a connection that was still open.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from starlette.types import Receive, Scope, Send

from meshgate_demo.conversation import HANG_UP, Event
from meshgate_demo.records import ServedRequest

HANG_S_MAX = 3_600.0  # a hang ends after this even if nobody leaves

Headers = list[tuple[bytes, bytes]]


class CallerGoneError(Exception):
    """The connection was closed by the other side."""


class HungUpError(Exception):
    """The connection was closed by this side, on purpose."""


class Delivery:
    """One answer on one connection."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        record: ServedRequest,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self._monotonic_s = monotonic_s
        self.record = record
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }

    async def run(self, work: Awaitable[None]) -> None:
        """Does the work until it ends, the caller leaves or a fault ends the connection."""
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch())
            try:
                await work
                self.record.outcome = "complete"
            except CallerGoneError:
                self.record.outcome = "disconnected"
            except HungUpError:
                self.record.outcome = "faulted"
            finally:
                self.record.finished_s = self._monotonic_s()
                watcher.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.record.finished_s is None:
            self.record.disconnected_s = self._monotonic_s()
            self._gone.set()

    async def pause(self, duration_s: float) -> None:
        """Raises CallerGoneError as soon as the caller leaves."""
        if duration_s <= 0:
            await asyncio.sleep(0)
        else:
            try:
                async with asyncio.timeout(duration_s):
                    await self._gone.wait()
            except TimeoutError:
                return
        if self._gone.is_set():
            raise CallerGoneError

    async def hang(self) -> None:
        """Sends nothing more, until the caller leaves."""
        await self.pause(HANG_S_MAX)
        await self.hang_up(reset=False)

    async def hang_up(self, *, reset: bool) -> None:
        """Ends the connection in the middle: with TCP's RST, or after what was sent has left."""
        self.record.finished_s = self._monotonic_s()
        self._scope["extensions"][HANG_UP](reset)
        await self._receive()
        raise HungUpError

    async def start(self, status: int, headers: Headers) -> None:
        self.record.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes) -> None:
        """Raises CallerGoneError instead of writing to a closed connection."""
        if self._gone.is_set():
            raise CallerGoneError
        if self.record.first_chunk_s is None:
            self.record.first_chunk_s = self._monotonic_s()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def write_event(self, event: Event, half_pause_s: float = 0.0) -> None:
        """`half_pause_s`: the event goes in two halves with this pause between."""
        encoded = event.encoded
        if half_pause_s:
            await self.write(encoded[: len(encoded) // 2])
            await self.pause(half_pause_s)
            encoded = encoded[len(encoded) // 2 :]
        await self.write(encoded)
        self.record.chunks_sent += 0 if event.is_done else 1
        self.record.tokens_sent += event.tokens

    async def end(self) -> None:
        self.record.finished_s = self._monotonic_s()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """A whole answer at once; JSON unless `headers` say another content type."""
        extra = list(headers)
        if not any(name == b"content-type" for name, _ in extra):
            extra.append((b"content-type", b"application/json"))
        await self.start(status, [*extra, (b"content-length", str(len(body)).encode())])
        await self.write(body)
        await self.end()
