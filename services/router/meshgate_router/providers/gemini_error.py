"""Errors of Google's APIs: a status, a canonical code name, and details by type. Pure.

Source: Google's API design guide (AIP-193), google.rpc.RetryInfo and ErrorInfo.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.providers.error_kinds import details_of, error_of, text_of

_DELAY: Final = re.compile(r"(\d+(?:\.\d+)?)s", re.ASCII)
_WRONG_KEY: Final = "API_KEY_INVALID"


def gemini_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """`type` is Google's canonical name, such as RESOURCE_EXHAUSTED."""
    return error_from(status, headers, details_of(body))


def error_from(status: int, headers: Mapping[str, str], details: Mapping[str, Any]) -> ProviderError:
    """`details`: the error object."""
    name = text_of(details, "status")
    error = error_of(status, {"type": name, **details} if name else details, headers)
    for detail in _details(details):
        if detail.get("reason") == _WRONG_KEY:
            # Google tells a wrong key as 400; for everybody else that is the client's mistake.
            error.kind, error.http_status = ErrorKind.AUTHENTICATION_FAILED, 401
        if error.retry_after_s is None and (match := _DELAY.fullmatch(text_of(detail, "retryDelay"))):
            error.retry_after_s = float(match[1])
    return error


def _details(details: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed = details.get("details")
    return (detail for detail in (listed if isinstance(listed, list) else ()) if isinstance(detail, dict))
