"""The classes of errors that policies of config.yaml speak of."""

from collections.abc import Mapping
from typing import Final

from meshgate_router.providers.base import ErrorKind

CLASS_OF: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.RATE_LIMITED: "rate_limit",
    ErrorKind.TIMEOUT: "timeout",
    ErrorKind.UNAVAILABLE: "internal_server",
    ErrorKind.OTHER: "internal_server",
    ErrorKind.AUTHENTICATION_FAILED: "authentication",
    ErrorKind.BAD_REQUEST: "bad_request",
    ErrorKind.CONTEXT_WINDOW_EXCEEDED: "bad_request",
    ErrorKind.UNSUPPORTED_PARAMETER: "bad_request",
    ErrorKind.FIELD_INVALID: "bad_request",
    ErrorKind.CONTENT_FILTERED: "content_policy",
}
"""A kind without a class (an unknown model or provider) has no policy."""
