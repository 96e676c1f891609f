"""Status and words of a provider's error -> its kind, and what a client is told. Pure.

Source: LiteLLM's mapping (statuses that clients of that gateway know), by test against real texts.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from meshgate_chassis.chat.json import loads
from meshgate_chassis.errors import MeshError
from meshgate_router.providers.base import ErrorKind, ProviderError

MESSAGE_CHARACTERS_MAX: Final = 2_000
DETAIL_CHARACTERS_MAX: Final = 200

_CONTEXT_PHRASES: Final = (
    "maximum context length",
    "context_length_exceeded",
    "context window",
    "prompt is too long",
    "exceeds the maximum number of tokens",
    "too many tokens",
    "input is too long",
    "input length and `max_tokens` exceed context limit",
    "is longer than the model's context length",
    "exceeds the available context size",
    "please reduce the length of the messages",
)
_POLICY_PHRASES: Final = (
    "safety system",
    "content_policy_violation",
    "content management policy",
    "content_filter",
    "violating our usage policy",
)

_KINDS: Final[Mapping[int, ErrorKind]] = {
    400: ErrorKind.BAD_REQUEST,
    401: ErrorKind.AUTHENTICATION_FAILED,
    403: ErrorKind.AUTHENTICATION_FAILED,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    413: ErrorKind.BAD_REQUEST,
    422: ErrorKind.BAD_REQUEST,
    429: ErrorKind.RATE_LIMITED,
    504: ErrorKind.TIMEOUT,
}
_TOLD: Final[Mapping[int, int]] = {422: 400}  # other statuses are told as they are


def kind_of(status: int, text: str) -> ErrorKind:
    """`text`: message and code of the error, for what a status alone does not say."""
    if status in (400, 413, 422):
        lower = text.lower()
        if any(phrase in lower for phrase in _CONTEXT_PHRASES):
            return ErrorKind.CONTEXT_WINDOW_EXCEEDED
        if any(phrase in lower for phrase in _POLICY_PHRASES):
            return ErrorKind.CONTENT_FILTERED
    if status in _KINDS:
        return _KINDS[status]
    return ErrorKind.UNAVAILABLE if 500 <= status < 600 else ErrorKind.OTHER


def error_of(status: int, details: Mapping[str, Any], headers: Mapping[str, str]) -> ProviderError:
    """`details`: the error object of the provider; members that are no text count as absent."""
    message = text_of(details, "message") or f"the provider answered with status {status}"
    code, kind_name = text_of(details, "code"), text_of(details, "type")
    told = _TOLD.get(status, status)
    return ProviderError(
        kind=kind_of(status, f"{message} {code} {kind_name}"),
        message=message[:MESSAGE_CHARACTERS_MAX],
        http_status=told if 400 <= told < 600 else 502,
        upstream_status=status,
        type=kind_name[:DETAIL_CHARACTERS_MAX],
        code=code[:DETAIL_CHARACTERS_MAX],
        param=text_of(details, "param")[:DETAIL_CHARACTERS_MAX],
        retry_after_s=retry_after_s(headers),
    )


def details_of(body: bytes) -> Mapping[str, Any]:
    """The error object in a body: {"error": {...}}, {"error": "..."}, {"message": ...}, [{...}], or text."""
    try:
        value = loads(body)
    except MeshError:
        return {"message": body[:MESSAGE_CHARACTERS_MAX].decode("utf-8", "replace").strip()}
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        inner = value.get("error")
        if isinstance(inner, dict):
            return inner
        if isinstance(inner, str):
            return {**value, "message": inner}
        if "message" not in value and "detail" in value:
            return {**value, "message": value["detail"]}
        return value
    return {"message": str(value)[:MESSAGE_CHARACTERS_MAX]}


def text_of(details: Mapping[str, Any], name: str) -> str:
    """A member as text; "" when it is absent or null."""
    value = details.get(name)
    return "" if value is None else value if isinstance(value, str) else str(value)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`, the latter as a number or as a date."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1_000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        # Against the provider's own clock: ours is not needed, and may differ.
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None
