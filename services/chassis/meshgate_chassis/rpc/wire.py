"""Calls on grpcio's core without grpc.aio's layers above it: one task, three objects and two generators less
for each call, a fifth of what a call costs the caller (docs/performance.md).

It uses names that grpcio does not promise, which is why its version is held to 1.78 and why nothing else
knows them. Invariants: a call that is left (cancelled, closed, failed) is cancelled at the other side, too;
`close` cancels all that are under way.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined] # a compiled module

Metadata = tuple[tuple[str, str], ...]

LEFT: Final = "the caller left"
CLOSED: Final = "the channel is closed"


class WireError(Exception):
    """How a call ended that failed: the number of its status, its text, its trailing metadata."""

    def __init__(self, code: int, details: str, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.trailers = trailers


class WireChannel:
    """One connection; needs the event loop that `channel` was made in."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._core: Any = channel._channel  # type: ignore[attr-defined] # noqa: SLF001 - see the module
        self._open: set[Any] = set()

    async def unary(
        self, method: bytes, request: bytes, metadata: Metadata, timeout_s: float
    ) -> bytes | None:
        """The answer; None: it was lost (grpcio, when a deadline meets it). Raises WireError."""
        call = self._begin(method, timeout_s)
        try:
            response: bytes | None = await call.unary_unary(request, metadata, None)
        finally:
            self._end(call)
        if not call.is_ok():
            await self._fail(call)
        return response

    async def stream(
        self, method: bytes, request: bytes, metadata: Metadata, timeout_s: float
    ) -> AsyncGenerator[bytes, None]:
        """The answers as they come. Raises WireError."""
        call = self._begin(method, timeout_s)
        try:
            await call.initiate_unary_stream(request, metadata, None)
            while (response := await call.receive_serialized_message()) is not cygrpc.EOF:
                yield response
            status = await call.status()
            if status.code() != 0:
                await self._fail(call)
        finally:
            self._end(call)

    async def close(self) -> None:
        """Cancels what is under way, and ends the connection."""
        for call in list(self._open):
            call.cancel(CLOSED)
        await self._channel.close()

    def _begin(self, method: bytes, timeout_s: float) -> Any:
        call = self._core.call(method, time.time() + timeout_s, None, None)
        self._open.add(call)
        return call

    def _end(self, call: Any) -> None:
        self._open.discard(call)
        if not call.done():
            call.cancel(LEFT)

    async def _fail(self, call: Any) -> None:
        if call.is_locally_cancelled():
            raise asyncio.CancelledError
        status = await call.status()
        raise WireError(int(status.code()), status.details() or "", status.trailing_metadata() or ())
