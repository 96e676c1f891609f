"""One log line for each call: who, what, how long and at what cost; never a prompt, an answer or a key."""

import structlog

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.http.error_table import row_of
from meshgate_edge.http.errors import render_error

LIMITED_REASONS = frozenset({"RATE_LIMITED", "PARALLEL_LIMITED"})
HASH_CHARACTERS = 8  # enough to tell keys apart in a log


class CallLog:
    """A CallObserver. Failures of the gateway or a provider are warnings; refusals are not."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("meshgate.edge.calls")

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """Writes the line. See CallObserver."""
        members = call_members(info)
        if info.attempted_fallbacks:
            self._log.warning(
                "fallback",
                call_id=info.call_id,
                from_model=info.model,
                to_model=info.model_group,
                attempted_fallbacks=info.attempted_fallbacks,
            )
        if error is None:
            self._log.info("call", **members)
            return
        status = row_of(error).status
        members |= {"status": status, "reason": error.reason, "code": error.code.name}
        if error.reason == "BUDGET_EXCEEDED":
            members["budget"] = render_error(error).body["error"]["message"]
        if error.reason in LIMITED_REASONS:
            self._log.info("rate_limit_exceeded", **_limit_members(info, error))
        if status >= 500:
            self._log.warning("call", **members)
        else:
            self._log.info("call", **members)


def _limit_members(info: CallInfo, error: MeshError) -> dict[str, object]:
    """Which limit refused whom."""
    names = ("limit_scope", "limit_scope_id", "limit_model", "limit_type", "limit_maximum")
    members: dict[str, object] = {name: error.metadata[name] for name in names if error.metadata.get(name)}
    if members.get("limit_scope_id") == info.key_hash:
        members["limit_scope_id"] = info.key_hash[:HASH_CHARACTERS]
    return {
        "call_id": info.call_id,
        "model": info.model,
        "key_hash": info.key_hash[:HASH_CHARACTERS],
        "end_user": info.end_user,
    } | members


def call_members(info: CallInfo) -> dict[str, object]:
    """What the line says; members without a value are left out."""
    members: dict[str, object] = {
        "call_id": info.call_id,
        "outcome": info.outcome,
        "model": info.model,
        "model_group": info.model_group,
        "provider": info.provider,
        "upstream_model": info.upstream_model,
        "deployment_id": info.deployment_id,
        "key_alias": info.key_alias,
        "key_hash": info.key_hash[:HASH_CHARACTERS],
        "user_id": info.user_id,
        "team_id": info.team_id,
        "prompt_tokens": info.prompt_tokens,
        "completion_tokens": info.completion_tokens,
        "estimated": info.usage_estimated,
        "original_prompt_tokens": info.original_prompt_tokens,
        "compressed_prompt_tokens": info.compressed_prompt_tokens,
        "compression": info.compression,
        "attempted_retries": info.attempted_retries,
    }
    line = {name: value for name, value in members.items() if value}
    line["cost"] = None if info.cost_usd_nanos is None else info.cost_usd_nanos / 1e9
    line["duration_ms"] = round(info.duration_s * 1e3, 1)
    return line
