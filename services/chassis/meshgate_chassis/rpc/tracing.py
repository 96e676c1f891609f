"""How an RPC ended, told to its span, which OpenTelemetry's interceptor began: by the conventions for gRPC.

Its code alone. The interceptor itself would add the error's text, which may quote a prompt.
"""

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from meshgate_chassis.errors import Code

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


def tell_end(code: Code) -> None:
    """Of the call that the running task answers; never OK, which a span says from its beginning."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attribute(STATUS_CODE, code.value)
        if code in FAULTS:
            span.set_status(Status(StatusCode.ERROR, code.name))


def without_span(context: Any) -> Any:
    """The servicer context below the interceptor's proxy (of wrapt), which would put an abort's text into the
    span."""
    return getattr(context, "__wrapped__", context)
