"""The span of an RPC at its answering side, by OpenTelemetry's conventions for gRPC.

Not OpenTelemetry's interceptor: with it, grpc.aio takes a longer way for every RPC, sampled or not, and one
that fails has a stack trace of ours in its span, whose text may quote a prompt.
"""

from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import Span, Status, StatusCode

from meshgate_chassis.errors import Code
from meshgate_chassis.telemetry import AttributeValue, Telemetry

STATUS_CODE: Final = "rpc.grpc.status_code"
# What the answering side is to blame for, by those conventions; anything else is the caller's affair.
FAULTS: Final = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)


class MethodTracing:
    """Traces the calls of one method."""

    def __init__(self, telemetry: Telemetry, service: str, name: str) -> None:
        self._telemetry = telemetry
        self._name = f"/{service}/{name}"
        self._attributes: Mapping[str, AttributeValue] = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": name,
            STATUS_CODE: 0,
        }

    def begin(self, metadata: Mapping[str, str]) -> Span:
        """Current for the rest of the running task; give it to `end`."""
        return self._telemetry.begin_call(self._name, self._attributes, metadata)

    def end(self, span: Span, code: str) -> None:
        """`code`: a name of gRPC's, "OK" included."""
        if code != "OK" and span.is_recording():
            failed = Code[code]
            span.set_attribute(STATUS_CODE, failed.value)
            if failed in FAULTS:
                span.set_status(Status(StatusCode.ERROR, code))
        span.end()
