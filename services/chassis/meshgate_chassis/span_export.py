"""Spans on their way out, over OTLP. Imported only when tracing is on: see telemetry.py."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from meshgate_chassis.telemetry_options import TelemetryOptions

QUEUE_SPANS_MAX = 8_192  # spans waiting for export; more are dropped, never waited for
BATCH_SPANS_MAX = 512
EXPORT_TIMEOUT_MS = 5_000


class Origin(Resource):
    """Where spans are from, hashed once: the exporter asks for each span, and the SDK makes JSON for that."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hashed = super().__hash__()

    def __hash__(self) -> int:
        return self._hashed


def exporting_provider(options: TelemetryOptions) -> TracerProvider:
    """Samples and exports as the options say."""
    provider = TracerProvider(
        resource=Origin(Resource.create({"service.name": options.service_name})),
        sampler=ParentBasedTraceIdRatio(options.sample_ratio),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            _exporter(options),
            max_queue_size=QUEUE_SPANS_MAX,
            max_export_batch_size=BATCH_SPANS_MAX,
            schedule_delay_millis=options.export_delay_ms,
            export_timeout_millis=EXPORT_TIMEOUT_MS,
        )
    )
    return provider


def _exporter(options: TelemetryOptions) -> SpanExporter:
    # Imported here: each exporter costs 0.1 s of start-up, and one of them at most is needed.
    headers = dict(options.headers or {})
    assert options.endpoint is not None
    if options.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as OverGrpc,
        )

        return OverGrpc(
            endpoint=options.endpoint,
            insecure=options.endpoint.startswith("http://") or options.insecure,
            headers=headers,
            timeout=EXPORT_TIMEOUT_MS / 1_000,
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

    return OverHttp(
        endpoint=f"{options.endpoint.rstrip('/')}/v1/traces",
        headers=headers,
        timeout=EXPORT_TIMEOUT_MS / 1_000,
    )
