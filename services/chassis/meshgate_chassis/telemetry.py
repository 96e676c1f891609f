"""OpenTelemetry: one object that makes spans, or none at all when no endpoint is configured.

Without an endpoint nothing is installed: no interceptors, no spans, no cost; not even the SDK is imported,
which takes a tenth of a service's start and 8 MB. Attribute names follow the OpenTelemetry semantic
conventions (rpc, http, gen_ai).

A hop has one span, the answering side's: the calling side only passes the context on. What several calls
share is in the trace of one of them, and the others are linked to it. A trace that is not
sampled costs a header on each hop and no span anywhere: its headers are handed on as they came, and below
its first span none is made, not even one that records nothing.
"""

import contextvars
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from meshgate_chassis.telemetry_options import TelemetryOptions

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.sdk.trace import TracerProvider

TRACEPARENT = "traceparent"
# W3C Trace Context, of a trace that is not sampled. The flag may stand beside others: OpenTelemetry says -02.
NOT_SAMPLED = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][02468ace]")
_HANDED_ON = contexts.create_key("meshgate-handed-on")  # headers of such a trace, for whoever is called

AttributeValue = str | int | float | bool | Sequence[str]


class Telemetry:
    """Makes spans and carries their context between processes."""

    def __init__(self, provider: "TracerProvider | None") -> None:
        self._provider = provider
        self._tracer = trace.NoOpTracer() if provider is None else provider.get_tracer("meshgate")
        self._propagator = None if provider is None else _propagator()
        self._fields = frozenset() if self._propagator is None else frozenset(self._propagator.fields)

    @property
    def enabled(self) -> bool:
        """False: `span` and `inject` do nothing."""
        return self._provider is not None

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
        headers: Mapping[str, str] | None = None,
        end: bool = True,
    ) -> Iterator[Span]:
        """A span around the block; `headers` of an incoming request continue its trace.

        Must be entered and left in the same task. An exception marks the span as failed by its type; its
        text is not recorded, because it may quote a prompt. `end` False: the span is current in the block,
        and whoever has it ends it later, in any task.
        """
        if self._provider is None or (headers is None and contexts.get_value(_HANDED_ON) is not None):
            yield trace.INVALID_SPAN
            return
        parent = contexts.get_current() if headers is None else self._told(headers)
        span, context = self._started(name, kind, attributes, parent)
        token = contexts.attach(context)
        try:
            yield span
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            contexts.detach(token)
            if end:
                span.end()

    def server_interceptors(self) -> list[Any] | None:
        """For grpc.aio servers: the span of each call but those of traces that are not sampled."""
        if self._provider is None:
            return None
        from opentelemetry.instrumentation.grpc import filters

        return [self._interceptor(filters.all_of(filters.negate(filters.health_check()), _wants_span))]

    def server_interceptor(self) -> Any:
        """A span of each call that it is asked for; None without tracing. See `may_be_sampled`."""
        return None if self._provider is None else self._interceptor(None)

    def _interceptor(self, wanted: Callable[[Any], bool] | None) -> Any:
        from opentelemetry.instrumentation.grpc import aio_server_interceptor

        return aio_server_interceptor(  # type: ignore[no-untyped-call]
            tracer_provider=self._provider, filter_=wanted
        )

    def adopt(self, metadata: Mapping[str, str]) -> None:
        """Continues the trace of an incoming RPC if it is not sampled: what is below it is not, either. For
        the rest of the running task."""
        if self._propagator is not None and NOT_SAMPLED.fullmatch(metadata.get(TRACEPARENT, "")):
            headers = {name: metadata[name] for name in self._fields if name in metadata}
            contexts.attach(contexts.set_value(_HANDED_ON, headers, contexts.Context()))

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Adds `traceparent` of the current span to outgoing headers."""
        if self._propagator is None:
            return
        handed_on = contexts.get_value(_HANDED_ON)
        if isinstance(handed_on, dict):
            headers.update(handed_on)
        else:
            self._propagator.inject(headers)

    def _told(self, headers: Mapping[str, str]) -> "Context":
        """Of the trace that a caller told of; empty when it told of none."""
        assert self._propagator is not None, "only asked for when tracing is on"
        return self._propagator.extract(headers, context=contexts.Context())

    def _started(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        parent: "Context",
    ) -> "tuple[Span, Context]":
        """The span and the context it is current in."""
        assert self._propagator is not None, "only asked for when tracing is on"
        span = self._tracer.start_span(
            name,
            context=parent,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        context = trace.set_span_in_context(span, parent)
        if not span.get_span_context().trace_flags.sampled:
            headers: dict[str, str] = {}
            self._propagator.inject(headers, context)
            context = contexts.set_value(_HANDED_ON, headers, context)
        return span, context

    def shutdown(self) -> None:
        """Exports what waits, within the export timeout."""
        if self._provider is not None:
            self._provider.shutdown()


def build_telemetry(options: TelemetryOptions) -> Telemetry:
    """Telemetry that exports over OTLP, or that does nothing without an endpoint."""
    if options.endpoint is None:
        return Telemetry(None)
    from meshgate_chassis.span_export import exporting_provider

    return Telemetry(exporting_provider(options))


def shared_context(spans: Iterable[Span]) -> contextvars.Context:
    """For work that calls with these spans share: nobody's deadline or log members; in the trace of the first
    that is sampled, to which the spans of the others get a link; not sampled when none of them is."""
    context = contextvars.Context()
    traced = [span for span in spans if span.get_span_context().is_valid]
    sampled = [span for span in traced if span.get_span_context().trace_flags.sampled]
    if traced:
        first, *others = sampled or traced[:1]
        context.run(contexts.attach, trace.set_span_in_context(first, contexts.Context()))
        for other in others:
            other.add_link(first.get_span_context())
    return context


def may_be_sampled(metadata: Mapping[str, str]) -> bool:
    """False when the caller of an RPC decided that its trace is not sampled: it gets no span."""
    return not NOT_SAMPLED.fullmatch(metadata.get(TRACEPARENT, ""))


def _wants_span(call: Any) -> bool:
    """As `may_be_sampled`, of a grpc.HandlerCallDetails."""
    parents = (value for key, value in call.invocation_metadata or () if key == TRACEPARENT)
    return may_be_sampled({TRACEPARENT: str(next(parents, ""))})


def _propagator() -> "TextMapPropagator":
    from opentelemetry import propagate

    return propagate.get_global_textmap()
