"""How each error looks to an HTTP client: one row for each reason, one for each code as the default.

Statuses, types and names are LiteLLM's where clients match on them; where its releases differ, the one that
an SDK handles best. A test fails for a reason of protos/README.md that has no row here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.errors import Code, MeshError

INVALID: Final = "invalid_request_error"
AUTH: Final = "auth_error"
SERVER: Final = "internal_server_error"
UNAVAILABLE: Final = "service_unavailable"

INTERNAL_MESSAGE: Final = "The gateway failed; its log has the details under this call id."
UNREACHABLE_MESSAGE: Final = "A part of the gateway is not reachable at the moment."
LOST_MESSAGE: Final = "The connection to a part of the gateway broke."
LATE_MESSAGE: Final = "The request took longer than its deadline."


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """`exception`: LiteLLM's class, as metrics and provider errors name it. `message`: instead of the error's
    own, which may tell more than a client should know. `retried` False: SDKs are told not to try again."""

    status: int
    type: str
    exception: str
    param: str | None = None
    message: str = ""
    retried: bool = True


INTERNAL: Final = ErrorRow(500, SERVER, "InternalServerError", message=INTERNAL_MESSAGE)
NOT_REACHED: Final = ErrorRow(503, UNAVAILABLE, "ServiceUnavailableError", message=UNREACHABLE_MESSAGE)
OVERLOADED: Final = ErrorRow(503, UNAVAILABLE, "ServiceUnavailableError")
TOO_LATE: Final = ErrorRow(504, "timeout_error", "Timeout", message=LATE_MESSAGE)
BAD_REQUEST: Final = ErrorRow(400, INVALID, "BadRequestError")
BAD_HEAD: Final = ErrorRow(400, INVALID, "BadRequestError", "request_head")

BY_REASON: Final[Mapping[str, ErrorRow]] = {
    # The request itself.
    "FIELD_INVALID": BAD_REQUEST,
    "JSON_INVALID": ErrorRow(400, INVALID, "BadRequestError", "request_body"),
    "UNSUPPORTED_PARAMETER": ErrorRow(400, INVALID, "UnsupportedParamsError"),
    "REQUEST_TOO_LARGE": ErrorRow(413, INVALID, "APIError", "request_body"),
    "BODY_TIMEOUT": ErrorRow(408, INVALID, "Timeout", "request_body"),
    "CONTENT_TYPE_UNSUPPORTED": ErrorRow(415, INVALID, "BadRequestError", "content-type"),
    "HEADERS_TOO_LARGE": ErrorRow(431, INVALID, "BadRequestError", "headers"),
    "URL_TOO_LONG": ErrorRow(414, INVALID, "BadRequestError", "url"),
    "HTTP_MALFORMED": BAD_HEAD,
    "HEAD_TIMEOUT": ErrorRow(408, INVALID, "Timeout", "request_head"),
    "CONNECTION_LIMIT": OVERLOADED,
    "REQUEST_ID_USED": ErrorRow(409, INVALID, "BadRequestError", "request_id", retried=False),
    # Who asks, and what they may do.
    "KEY_MISSING": ErrorRow(401, AUTH, "ProxyException", "None"),
    "KEY_MALFORMED": ErrorRow(401, AUTH, "ProxyException", "None"),
    "KEY_UNKNOWN": ErrorRow(401, "token_not_found_in_db", "ProxyException", "key"),
    "KEY_EXPIRED": ErrorRow(401, "expired_key", "ProxyException", "key"),
    "KEY_BLOCKED": ErrorRow(401, AUTH, "ProxyException", "key"),
    "KEY_NOT_OWN": ErrorRow(403, AUTH, "ProxyException", "key"),
    "ADDRESS_NOT_ALLOWED": ErrorRow(403, AUTH, "ProxyException", retried=False),
    "ROUTE_NOT_ALLOWED": ErrorRow(403, AUTH, "ProxyException", "allowed_routes", retried=False),
    "CACHE_CONTROL_NOT_ALLOWED": ErrorRow(403, AUTH, "ProxyException", "cache", retried=False),
    "ADMIN_ONLY": ErrorRow(401, AUTH, "ProxyException", "None"),
    "MODEL_NOT_ALLOWED": ErrorRow(403, "key_model_access_denied", "ProxyException", "model"),
    "BUDGET_EXCEEDED": ErrorRow(429, "budget_exceeded", "BudgetExceededError", retried=False),
    "RATE_LIMITED": ErrorRow(429, "throttling_error", "RateLimitError"),
    "PARALLEL_LIMITED": ErrorRow(429, "throttling_error", "RateLimitError"),
    "ACCOUNT_BLOCKED": ErrorRow(403, AUTH, "ProxyException"),
    "PRICE_UNKNOWN": ErrorRow(400, INVALID, "BadRequestError", "model"),
    "MODEL_NOT_FOUND": ErrorRow(400, INVALID, "BadRequestError", "model"),
    # Keys.
    "KEY_NOT_FOUND": ErrorRow(404, "not_found_error", "ProxyException", "key"),
    "KEY_ALIAS_TAKEN": ErrorRow(400, "bad_request_error", "ProxyException", "key_alias"),
    "KEY_EXISTS": ErrorRow(400, "bad_request_error", "ProxyException", "new_key"),
    # Users, teams and whoever else is managed.
    "ENTITY_EXISTS": ErrorRow(400, "bad_request_error", "ProxyException"),
    "ENTITY_NOT_FOUND": ErrorRow(404, "not_found_error", "ProxyException"),
    "MEMBER_NOT_FOUND": ErrorRow(404, "not_found_error", "ProxyException", "user_id"),
    "BUDGET_NOT_FOUND": ErrorRow(400, "bad_request_error", "ProxyException", "budget_id"),
    # The mesh.
    "DEADLINE_TOO_CLOSE": TOO_LATE,
    "SERVICE_UNREACHABLE": NOT_REACHED,
    "CONNECTION_LOST": ErrorRow(503, UNAVAILABLE, "ServiceUnavailableError", message=LOST_MESSAGE),
    "STORE_UNAVAILABLE": NOT_REACHED,
    "LEDGER_UNAVAILABLE": ErrorRow(503, UNAVAILABLE, "ServiceUnavailableError"),
    "SPOOL_FULL": OVERLOADED,
    "SPOOL_FAILED": NOT_REACHED,
    "CREDENTIALS_KEY_MISSING": ErrorRow(400, INVALID, "BadRequestError"),
    "CACHE_NOT_REDIS": BAD_REQUEST,
    "CREDENTIAL_EXISTS": ErrorRow(409, INVALID, "BadRequestError", "credential_name", retried=False),
    "CREDENTIAL_UNKNOWN": ErrorRow(404, INVALID, "NotFoundError", "credential_name"),
    "CREDENTIAL_UNREADABLE": INTERNAL,
    "QUEUE_FULL": OVERLOADED,
    "TASK_LIMIT": OVERLOADED,
    "TOO_MANY_CALLS": OVERLOADED,
    "DEADLINE_REQUIRED": INTERNAL,
    "CALLER_UNKNOWN": INTERNAL,
    "CALLER_NOT_ALLOWED": INTERNAL,
    "HOLD_UNKNOWN": INTERNAL,
    "ALREADY_SETTLED": INTERNAL,
    "ALREADY_VOIDED": INTERNAL,
    "LEDGER_TOO_SLOW": TOO_LATE,
    "KEY_CHANGING": OVERLOADED,
    "REQUEST_CHANGING": OVERLOADED,
    "REPORT_TOO_LARGE": ErrorRow(400, INVALID, "BadRequestError", retried=False),
    "UNEXPECTED": INTERNAL,
    # Of the compression, which a call goes on without: no client should ever see these.
    "PROMPT_TOO_LONG": INTERNAL,
    "TOO_LATE": TOO_LATE,
    "WORKER_LOST": INTERNAL,
    "DEPLOYMENTS_COOLING_DOWN": ErrorRow(429, "throttling_error", "RateLimitError"),
    "DEPLOYMENT_LIMITS_REACHED": ErrorRow(429, "throttling_error", "RateLimitError"),
    "DEPLOYMENTS_NOT_PERMITTED": BAD_REQUEST,
    # The provider, when the router could not tell a status (see `PROVIDER_BY_STATUS`).
    "PROVIDER_STREAM_BROKEN": ErrorRow(502, SERVER, "APIConnectionError"),
    "EVENT_TOO_LARGE": ErrorRow(502, SERVER, "APIError"),
    "STREAM_TOO_LARGE": ErrorRow(502, SERVER, "APIError"),
}

BY_CODE: Final[Mapping[Code, ErrorRow]] = {
    Code.CANCELLED: ErrorRow(499, INVALID, "APIConnectionError", message="The request was cancelled."),
    Code.UNKNOWN: INTERNAL,
    Code.INVALID_ARGUMENT: BAD_REQUEST,
    Code.DEADLINE_EXCEEDED: TOO_LATE,
    Code.NOT_FOUND: ErrorRow(404, "not_found_error", "NotFoundError"),
    Code.ALREADY_EXISTS: ErrorRow(409, INVALID, "BadRequestError", retried=False),
    Code.PERMISSION_DENIED: ErrorRow(403, "permission_error", "PermissionDeniedError"),
    Code.RESOURCE_EXHAUSTED: ErrorRow(429, "throttling_error", "RateLimitError"),
    Code.FAILED_PRECONDITION: BAD_REQUEST,
    Code.ABORTED: ErrorRow(409, INVALID, "BadRequestError"),
    Code.OUT_OF_RANGE: BAD_REQUEST,
    Code.UNIMPLEMENTED: ErrorRow(501, SERVER, "BadRequestError"),
    Code.INTERNAL: INTERNAL,
    Code.UNAVAILABLE: NOT_REACHED,
    Code.DATA_LOSS: INTERNAL,
    Code.UNAUTHENTICATED: ErrorRow(401, AUTH, "AuthenticationError"),
}

PROVIDER_BY_STATUS: Final[Mapping[int, ErrorRow]] = {
    400: BAD_REQUEST,
    401: ErrorRow(401, INVALID, "AuthenticationError"),
    403: ErrorRow(403, "permission_error", "APIError"),
    404: ErrorRow(404, INVALID, "NotFoundError"),
    408: ErrorRow(408, INVALID, "Timeout"),
    422: BAD_REQUEST,
    429: ErrorRow(429, "throttling_error", "RateLimitError"),
    500: ErrorRow(500, SERVER, "InternalServerError"),
    502: ErrorRow(502, SERVER, "BadGatewayError"),
    503: ErrorRow(503, SERVER, "ServiceUnavailableError"),
    504: ErrorRow(504, SERVER, "Timeout"),
}

PROVIDER_EXCEPTIONS: Final[Mapping[str, str]] = {
    "PROVIDER_CONTEXT_WINDOW_EXCEEDED": "ContextWindowExceededError",
    "PROVIDER_CONTENT_FILTERED": "ContentPolicyViolationError",
}


def row_of(error: MeshError) -> ErrorRow:
    """The row of an error; never fails."""
    status = error.metadata.get("http_status", "")
    if error.reason.startswith("PROVIDER_") and status.isdigit():
        return _provider_row(error.reason, int(status))
    return BY_REASON.get(error.reason) or BY_CODE[error.code]


def _provider_row(reason: str, status: int) -> ErrorRow:
    """A provider's error keeps its status, as far as it says anything to a client."""
    row = PROVIDER_BY_STATUS.get(status)
    if row is None:
        if 400 <= status < 500:
            row = ErrorRow(status, INVALID, "APIError")
        else:
            row = ErrorRow(status if 500 <= status < 600 else 502, SERVER, "APIError")
    exception = PROVIDER_EXCEPTIONS.get(reason)
    return row if exception is None else ErrorRow(row.status, row.type, exception)
