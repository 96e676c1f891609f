"""Where spans go, and how many of them."""

from collections.abc import Mapping
from dataclasses import dataclass

EXPORT_DELAY_MS = 5_000  # OpenTelemetry's default: an export costs as much as 15 spans


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """`endpoint` None = tracing off. `protocol`: "grpc" or "http/protobuf". `sample_ratio`: of new traces.

    `export_delay_ms`: how long a span waits for others at most.
    """

    service_name: str
    endpoint: str | None
    protocol: str = "grpc"
    headers: Mapping[str, str] | None = None
    sample_ratio: float = 1.0
    insecure: bool = True
    export_delay_ms: int = EXPORT_DELAY_MS
