"""OpenTelemetry's interceptor for grpcio's servers, on a transport of our own: the same spans.

It is asked once for each method; what it makes of a handler then runs the work of any call. Calls of traces
that are not sampled pass it by. Needs grpcio, so only who traces imports this.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

import grpc

from meshgate_chassis.rpc.http2.calls import IncomingCall


class Details(NamedTuple):
    """As grpc.HandlerCallDetails."""

    method: str
    invocation_metadata: tuple[Any, ...] = ()


class Metadatum(NamedTuple):
    """As grpcio gives metadata to servicers."""

    key: str
    value: str


class Context:
    """What the interceptor asks of a grpc.aio.ServicerContext."""

    def __init__(self, call: IncomingCall) -> None:
        self._call = call

    def peer(self) -> str:
        """As gRPC names it."""
        return self._call.peer

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """Those that are text."""
        return tuple(Metadatum(key, value) for key, value in self._call.metadata.items())


UnarySpan = Callable[[Awaitable[Any], Context], Awaitable[Any]]
StreamSpan = Callable[[AsyncGenerator[Any, None], Context], AsyncGenerator[Any, None]]


async def unary_span(interceptor: Any, path: str) -> UnarySpan:
    """Awaits the work of a call within its span."""

    async def run(work: Awaitable[Any], _: Any) -> Any:
        return await work

    handler = await _intercepted(interceptor, path, grpc.unary_unary_rpc_method_handler(run))
    span: UnarySpan = handler.unary_unary
    return span


async def stream_span(interceptor: Any, path: str) -> StreamSpan:
    """Iterates over the work of a call within its span."""

    def run(work: AsyncGenerator[Any, None], _: Any) -> AsyncGenerator[Any, None]:
        return work

    handler = await _intercepted(interceptor, path, grpc.unary_stream_rpc_method_handler(run))
    span: StreamSpan = handler.unary_stream
    return span


async def _intercepted(interceptor: Any, path: str, handler: Any) -> Any:
    async def continuation(_: Any) -> Any:
        return handler

    return await interceptor.intercept_service(continuation, Details(path))
