"""Errors as HTTP answers: OpenAI's {"error": {message, type, param, code}}, with LiteLLM's words. Pure.

`code` is the status as a string. Nothing inside is told: the table decides what a client may read.
"""

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from meshgate_chassis.chat.json import loads
from meshgate_chassis.errors import MeshError
from meshgate_edge.http.error_table import ErrorRow, row_of
from meshgate_edge.money.rate_limits import denial_headers

PROVIDER_NAMES = {"openai": "OpenAI", "azure": "Azure", "xai": "XAI", "vllm": "VLLM"}


@dataclass(frozen=True, slots=True)
class RenderedError:
    """An answer to send. `body`: the JSON object. `headers`: in addition to those of every answer."""

    status: int
    body: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()


BUDGET_WORDS = "Budget has been exceeded!"


def render_error(error: MeshError) -> RenderedError:
    """What the client gets to see of an error."""
    row = row_of(error)
    body: dict[str, Any] = {
        "message": _message(error, row),
        "type": row.type,
        "param": _param(error, row),
        "code": str(row.status),
    }
    specific = _provider_fields(error)
    if specific:
        body["provider_specific_fields"] = specific
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(0, math.ceil(error.retry_after_s))).encode()))
    if not row.retried:
        headers.append((b"x-should-retry", b"false"))
    headers += denial_headers(error.metadata)
    return RenderedError(row.status, {"error": body}, tuple(headers))


def _param(error: MeshError, row: ErrorRow) -> str | None:
    if error.reason in _ENTITY_REASONS:
        return _ENTITY_IDS.get(error.metadata.get("kind", ""))
    if row.param is None:
        return next(iter(error.fields), None) or error.metadata.get("provider_error_param") or None
    return row.param


_ENTITY_REASONS = ("ENTITY_EXISTS", "ENTITY_NOT_FOUND")
# The ledger's kind of an entity -> the member of LiteLLM's bodies that has its id.
_ENTITY_IDS = {
    "user": "user_id",
    "team": "team_id",
    "organization": "organization_id",
    "customer": "user_id",
    "tag": "name",
    "budget": "budget_id",
}


def _message(error: MeshError, row: ErrorRow) -> str:
    if error.reason.startswith("PROVIDER_"):
        return _provider_message(error, row)
    if row.message:
        return row.message
    phrase = _PHRASES.get(error.reason)
    return error.message if phrase is None else phrase(error)


def _authentication(error: MeshError) -> str:
    return f"Authentication Error, {error.message}"


def _unknown_model(error: MeshError) -> str:
    return (
        f"Invalid model name passed in model={error.metadata.get('model', '')}. "
        "Model not found. Call `/v1/models` to view available models for your key."
    )


def _over_budget(error: MeshError) -> str:
    if BUDGET_WORDS in error.message:  # the ledger says it in LiteLLM's words itself
        return error.message
    spend = error.metadata.get("spend_usd_nanos")
    limit = error.metadata.get("max_budget_usd_nanos")
    if spend is None or limit is None:
        return f"{BUDGET_WORDS} Budget exceeded: {error.message}"
    label = _BUDGET_OWNERS.get(error.metadata.get("limit_scope", ""), "")
    owner = f"{label}={error.metadata['limit_scope_id']} " if label else ""
    amounts = f"{owner}Current cost: {_usd(spend)}, Max budget: {_usd(limit)}"
    return f"{BUDGET_WORDS} {amounts}. Budget exceeded: {error.message}"


_BUDGET_OWNERS = {
    "user": "User",
    "team": "Team",
    "team_member": "Team member",
    "organization": "Organization",
    "end_user": "End User",
    "tag": "Tag",
}


def _unsupported(error: MeshError) -> str:
    return f"litellm.UnsupportedParamsError: {error.message}"


_PHRASES = {
    "KEY_MISSING": _authentication,
    "KEY_MALFORMED": _authentication,
    "KEY_UNKNOWN": _authentication,
    "KEY_EXPIRED": _authentication,
    "KEY_BLOCKED": _authentication,
    "ADMIN_ONLY": _authentication,
    "MODEL_NOT_FOUND": _unknown_model,
    "BUDGET_EXCEEDED": _over_budget,
    "UNSUPPORTED_PARAMETER": _unsupported,
}


def _usd(nanos: str) -> str:
    return str(int(nanos) / 1e9) if nanos.lstrip("-").isdigit() else nanos


def _provider_message(error: MeshError, row: ErrorRow) -> str:
    metadata = error.metadata
    provider = metadata.get("provider", "")
    name = PROVIDER_NAMES.get(provider, provider.capitalize())
    text = metadata.get("provider_message") or error.message
    told = f"litellm.{row.exception}: {row.exception}: {name}Exception - {text}"
    if metadata.get("attempted_fallbacks", "0") not in ("", "0"):
        told = f"{told.rstrip('.')}. All models failed: {_attempts(metadata.get('attempts', ''))}"
    return told


def _attempts(text: str) -> str:
    """The router's list of what it tried: which group, where, and why not; what it repeated, once."""
    tried = loads(text) if text else []
    lines = (f"{each['group']} ({each['provider']}): {each['reason']}" for each in tried)
    counted = ((line, len(list(same))) for line, same in groupby(lines))
    return ", ".join(line if times == 1 else f"{line} ({times} times)" for line, times in counted)


def _provider_fields(error: MeshError) -> dict[str, str]:
    """What the provider itself called the error, for clients that know the provider."""
    names = ("provider_error_type", "provider_error_code", "provider_error_param")
    return {
        name.removeprefix("provider_error_"): error.metadata[name]
        for name in names
        if error.metadata.get(name)
    }
