"""A trace crosses gRPC, and one that is not sampled leaves no span anywhere; over real gRPC on loopback."""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio, SamplingResult
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from prometheus_client import CollectorRegistry

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import Identity, Server, ServerOptions, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.span_export import Origin
from meshgate_chassis.telemetry import Telemetry, shared_context
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import (
    CompressionServiceClient,
    CompressionServiceServicer,
)
from meshgate_protos.rpc import Call
from tests.support.eventually import eventually
from tests.unit.chassis.rpc_mesh import PAIRS

SECRET = b"a secret of the mesh, for tests"


class CountingSampler(ParentBasedTraceIdRatio):
    """Asked whenever the SDK begins a span, be it one that records nothing."""

    asked = 0

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        self.asked += 1
        return super().should_sample(*args, **kwargs)


class Spans:
    """A service's telemetry whose spans are kept."""

    def __init__(self, ratio: float) -> None:
        self._exporter = InMemorySpanExporter()
        self.sampler = CountingSampler(ratio)
        self._provider = TracerProvider(sampler=self.sampler)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.telemetry = Telemetry(self._provider)

    def ended(self) -> Sequence[ReadableSpan]:
        """The spans that ended, in that order."""
        return self._exporter.get_finished_spans()

    def names(self) -> list[str]:
        """Of the spans that ended, in that order."""
        return [span.name for span in self.ended()]

    def trace_ids(self) -> set[int]:
        """Of the spans that ended."""
        return {span.context.trace_id for span in self.ended()}


class Subject(CompressionServiceServicer):
    """Has a span of its own below each call, which may fail."""

    def __init__(self, telemetry: Telemetry, error: MeshError | None) -> None:
        self._telemetry = telemetry
        self._error = error
        self.told: dict[str, str] = {}  # what it tells whomever it calls

    async def compress_prompt(
        self, request: pb.CompressPromptRequest, call: Call
    ) -> pb.CompressPromptResponse:
        with self._telemetry.span("inner"):
            self._telemetry.inject(self.told)
            if self._error is not None:
                raise self._error
            return pb.CompressPromptResponse()


class Pair:
    """A caller and a callee; the callee would sample every trace of its own."""

    def __init__(self, stack: AsyncExitStack, target: str, transports: tuple[Transport, Transport]) -> None:
        self._stack, self.target = stack, target
        self._server_transport, self._client_transport = transports
        self.callee = Spans(1.0)

    async def call(
        self,
        caller: Spans,
        error: MeshError | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """One call within a span of the caller's; what the callee would tell others. `error`: how it ends."""
        options = ServerOptions(self.target, Identity("compression", SECRET), drain_grace_s=0.2)
        server = Server(
            options, self.callee.telemetry, RpcMetrics(CollectorRegistry()), transport=self._server_transport
        )
        subject = Subject(self.callee.telemetry, error)
        server.add(subject)
        await self._stack.enter_async_context(server)
        identity = Identity("edge", SECRET)
        channel = connect(
            self.target,
            callee="compression",
            identity=identity,
            telemetry=caller.telemetry,
            transport=self._client_transport,
        )
        self._stack.push_async_callback(channel.close)
        with caller.telemetry.span("outer", headers=headers), suppress(MeshError):
            await CompressionServiceClient(channel).compress_prompt(pb.CompressPromptRequest(), timeout_s=5)
        return subject.told


@pytest.fixture(params=PAIRS)
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    """On each pair of transports."""
    async with AsyncExitStack() as stack:
        yield Pair(stack, f"unix:{tmp_path_factory.mktemp('t')}/s", request.param)


async def test_a_sampled_trace_has_one_span_for_each_hop(pair: Pair) -> None:
    """The callee's, with what it does below it; all of one trace."""
    caller = Spans(1.0)
    await pair.call(caller)

    assert ["outer"] == caller.names()
    await eventually(lambda: 2 == len(pair.callee.ended()), "both spans of the callee")
    assert "inner" == pair.callee.names()[0]
    assert 2 == len(pair.callee.names()), pair.callee.names()
    assert caller.trace_ids() == pair.callee.trace_ids()
    inner, hop = pair.callee.ended()
    (outer,) = caller.ended()
    assert (hop.context, outer.context.span_id) == (inner.parent, parent_of(hop).span_id)


@pytest.mark.parametrize("peer", ["unix", "127.0.0.1"])
async def test_the_span_of_a_hop_says_what_was_called_and_by_whom(pair: Pair, peer: str) -> None:
    """By OpenTelemetry's conventions, with nothing more and nothing less on any transport."""
    if peer != "unix":
        pair.target = f"{peer}:{free_port()}"
    await pair.call(Spans(1.0))

    await eventually(lambda: 2 == len(pair.callee.ended()), "both spans of the callee")
    hop = pair.callee.ended()[-1]
    said = dict(hop.attributes or {})
    agent, port = said.pop("rpc.user_agent"), said.pop("net.peer.port", None)
    address = {} if peer == "unix" else {"net.peer.ip": peer, "net.peer.name": "localhost"}
    assert ("/meshgate_protos.compression.v1.CompressionService/CompressPrompt", SpanKind.SERVER) == (
        hop.name,
        hop.kind,
    )
    assert {
        "rpc.system": "grpc",
        "rpc.grpc.status_code": 0,
        "rpc.service": "meshgate_protos.compression.v1.CompressionService",
        "rpc.method": "CompressPrompt",
        **address,
    } == said
    assert agent
    assert (port is None) is (peer == "unix")


def parent_of(span: ReadableSpan) -> SpanContext:
    assert span.parent is not None
    return span.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_trace_that_is_not_sampled_has_no_span_anywhere(pair: Pair) -> None:
    """The callee follows the caller's decision, for the span of its own as well, and begins none in vain."""
    caller = Spans(0.0)
    await pair.call(caller)

    assert [] == caller.names()
    assert [] == pair.callee.names()
    assert (1, 0) == (caller.sampler.asked, pair.callee.sampler.asked)


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
async def test_every_hop_tells_the_next_of_the_trace(pair: Pair, flags: str) -> None:
    """Its id, its decision, and what else the client sent along; the flag for random ids stands beside it."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-{flags}",
        "tracestate": "a=b",
        "baggage": "c=d",
    }
    told = await pair.call(Spans(1.0), headers=headers)

    assert [trace_id, flags] == told["traceparent"].split("-")[1::2]
    assert ("a=b", "c=d") == (told["tracestate"], told["baggage"])
    if flags in ("00", "02"):
        assert 0 == pair.callee.sampler.asked


@pytest.mark.parametrize(
    ("code", "status"), [(Code.INTERNAL, StatusCode.ERROR), (Code.NOT_FOUND, StatusCode.UNSET)]
)
async def test_the_span_of_a_failed_call_has_its_code_and_not_its_text(
    pair: Pair, code: Code, status: StatusCode
) -> None:
    """What is the caller's fault is no failure of the callee, by the conventions."""
    await pair.call(Spans(1.0), MeshError(code, "SOME_REASON", "a quoted prompt"))

    await eventually(lambda: 2 == len(pair.callee.ended()), "both spans of the callee")
    span = pair.callee.ended()[-1]
    assert code.value == (span.attributes or {})["rpc.grpc.status_code"]
    assert status is span.status.status_code
    assert "quoted" not in span.to_json()


def test_where_spans_are_from_is_hashed_once_and_like_any_other() -> None:
    """The exporter puts spans of equal resources together."""
    resource = Resource.create({"service.name": "meshgate-edge"})

    assert resource == Origin(resource)
    assert hash(resource) == hash(Origin(resource))


def test_what_unsampled_calls_share_is_not_sampled_either() -> None:
    """Without a context the callee would take it for a new trace, and might sample that."""
    with Spans(0.0).telemetry.span("outer") as span:
        told = shared_context([trace.INVALID_SPAN, span]).run(trace.get_current_span)

    assert told is span
    assert not shared_context([trace.INVALID_SPAN]).run(trace.get_current_span).get_span_context().is_valid
