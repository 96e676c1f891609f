"""The ledger's denials, as the errors clients see. Pure."""

from meshgate_chassis.errors import Code, MeshError
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

_Reason = pb.Denial.Reason

CODES = {
    _Reason.REASON_UNSPECIFIED: (Code.INTERNAL, "DENIED"),
    _Reason.REASON_KEY_UNKNOWN: (Code.UNAUTHENTICATED, "KEY_UNKNOWN"),
    _Reason.REASON_KEY_EXPIRED: (Code.UNAUTHENTICATED, "KEY_EXPIRED"),
    _Reason.REASON_KEY_BLOCKED: (Code.UNAUTHENTICATED, "KEY_BLOCKED"),
    _Reason.REASON_MODEL_NOT_ALLOWED: (Code.PERMISSION_DENIED, "MODEL_NOT_ALLOWED"),
    _Reason.REASON_BUDGET_EXCEEDED: (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED"),
    _Reason.REASON_PRICE_UNKNOWN: (Code.FAILED_PRECONDITION, "PRICE_UNKNOWN"),
    _Reason.REASON_MODEL_NOT_FOUND: (Code.NOT_FOUND, "MODEL_NOT_FOUND"),
}


def denied(denial: pb.Denial, model: str = "") -> MeshError:
    """The error of a denial."""
    code, reason = CODES[denial.reason]
    error = MeshError(code, reason, denial.message, domain="ledger.meshgate", metadata={"model": model})
    if denial.HasField("retry_after"):
        error.retry_after_s = denial.retry_after.ToNanoseconds() / 1e9
    if denial.reason == _Reason.REASON_BUDGET_EXCEEDED:
        error.metadata = {
            "model": model,
            "spend_usd_nanos": str(denial.spend_usd_nanos),
            "max_budget_usd_nanos": str(denial.max_budget_usd_nanos),
        }
    return error
