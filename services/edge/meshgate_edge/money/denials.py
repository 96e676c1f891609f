"""The ledger's denials, as the errors clients see. Pure."""

from typing import Final

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.money.rate_limits import denial_metadata, limit_of, refusal
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
    _Reason.REASON_RATE_LIMITED: (Code.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    _Reason.REASON_PARALLEL_LIMITED: (Code.RESOURCE_EXHAUSTED, "PARALLEL_LIMITED"),
    _Reason.REASON_ACCOUNT_BLOCKED: (Code.PERMISSION_DENIED, "ACCOUNT_BLOCKED"),
    _Reason.REASON_ROUTE_NOT_ALLOWED: (Code.PERMISSION_DENIED, "ROUTE_NOT_ALLOWED"),
}
# Of refusals that tell no time: a minute is LiteLLM's word, a slot may be free at any moment.
RETRY_AFTER_S: Final = {"RATE_LIMITED": 60.0, "PARALLEL_LIMITED": 1.0}
# Nothing is known of who shows such a key: its hash must not become a label.
NO_KEY_REASONS: Final = frozenset(
    {"KEY_MISSING", "KEY_MALFORMED", "KEY_UNKNOWN", "KEY_EXPIRED", "KEY_BLOCKED"}
)


def denied(denial: pb.Denial, model: str = "") -> MeshError:
    """The error of a denial."""
    code, reason = CODES.get(denial.reason, CODES[_Reason.REASON_UNSPECIFIED])
    metadata = {"model": model}
    message = denial.message
    if denial.HasField("limit"):
        limit = limit_of(denial.limit)
        metadata |= denial_metadata(limit)
        if reason in RETRY_AFTER_S:
            message = refusal(limit)
    if reason == "BUDGET_EXCEEDED":
        metadata["spend_usd_nanos"] = str(denial.spend_usd_nanos)
        metadata["max_budget_usd_nanos"] = str(denial.max_budget_usd_nanos)
    error = MeshError(code, reason, message, domain="ledger.meshgate", metadata=metadata)
    error.retry_after_s = RETRY_AFTER_S.get(reason)
    if denial.HasField("retry_after"):
        error.retry_after_s = denial.retry_after.ToNanoseconds() / 1e9
    return error
