"""A trace crosses gRPC, and one that is not sampled leaves no span anywhere; over real gRPC on loopback."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from prometheus_client import CollectorRegistry

from meshgate_chassis.rpc import Identity, Server, ServerOptions, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import (
    CompressionServiceClient,
    CompressionServiceServicer,
)
from meshgate_protos.rpc import Call

SECRET = b"a secret of the mesh, for tests"


class Spans:
    """A service's telemetry whose spans are kept."""

    def __init__(self, ratio: float) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(sampler=ParentBasedTraceIdRatio(ratio))
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.telemetry = Telemetry(self._provider)

    def names(self) -> list[str]:
        """Of the spans that ended, in that order."""
        return [span.name for span in self._exporter.get_finished_spans()]

    def trace_ids(self) -> set[int]:
        """Of the spans that ended."""
        return {span.context.trace_id for span in self._exporter.get_finished_spans()}


class Subject(CompressionServiceServicer):
    """Has a span of its own below each call."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def compress_prompt(
        self, request: pb.CompressPromptRequest, call: Call
    ) -> pb.CompressPromptResponse:
        with self._telemetry.span("inner"):
            return pb.CompressPromptResponse()


class Pair:
    """A caller and a callee; the callee would sample every trace of its own."""

    def __init__(self, stack: AsyncExitStack, target: str) -> None:
        self._stack, self._target = stack, target
        self.callee = Spans(1.0)

    async def call(self, caller: Spans) -> None:
        """One call within a span of the caller's."""
        options = ServerOptions(self._target, Identity("compression", SECRET), drain_grace_s=0.2)
        server = Server(options, self.callee.telemetry, RpcMetrics(CollectorRegistry()))
        server.add(Subject(self.callee.telemetry))
        await self._stack.enter_async_context(server)
        identity = Identity("edge", SECRET)
        channel = connect(self._target, callee="compression", identity=identity, telemetry=caller.telemetry)
        self._stack.push_async_callback(channel.close)
        with caller.telemetry.span("outer"):
            await CompressionServiceClient(channel).compress_prompt(pb.CompressPromptRequest(), timeout_s=5)


@pytest.fixture
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        yield Pair(stack, f"unix:{tmp_path_factory.mktemp('t')}/s")


async def test_a_sampled_trace_has_one_span_for_each_hop(pair: Pair) -> None:
    """The callee's, with what it does below it; all of one trace."""
    caller = Spans(1.0)
    await pair.call(caller)

    assert ["outer"] == caller.names()
    assert "inner" == pair.callee.names()[0]
    assert 2 == len(pair.callee.names()), pair.callee.names()
    assert caller.trace_ids() == pair.callee.trace_ids()


async def test_a_trace_that_is_not_sampled_has_no_span_anywhere(pair: Pair) -> None:
    """The callee follows the caller's decision, for the span of its own as well."""
    caller = Spans(0.0)
    await pair.call(caller)

    assert [] == caller.names()
    assert [] == pair.callee.names()
