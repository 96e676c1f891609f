"""Reports as LiteLLM's JSON. Amounts are decimals, exact to the nano-USD. Pure."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from meshgate_chassis.chat.json import JsonObject, dumps, loads
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

ADMIN_ID: Final = "default_user_id"  # LiteLLM's name for who holds the master key
SUCCESSES: Final = ("success", "cache_hit", "cancelled")
FAILURES: Final = ("failure", "void", "unknown")
HIT_MARK: Final = "_cache_hit"  # LiteLLM's
_NANO: Final = -9


def exact_usd(nanos: int) -> Decimal:
    """Every digit, and at least one decimal."""
    digits = f"{abs(nanos):010d}"
    fraction = digits[_NANO:].rstrip("0") or "0"
    return Decimal(f"{'-' if nanos < 0 else ''}{digits[:_NANO]}.{fraction}")


def answered(content: object) -> Response:
    """JSON with every digit; FastAPI's own would make floats of decimals."""
    return Response(dumps(content), media_type="application/json")


def metrics_json(sums: pb.SpendSums) -> JsonObject:
    """The sums of a day or of a part of it."""
    return {
        "spend": exact_usd(sums.spend_usd_nanos),
        "prompt_tokens": sums.prompt_tokens,
        "completion_tokens": sums.completion_tokens,
        "cache_read_input_tokens": sums.cached_tokens,
        "cache_creation_input_tokens": sums.cache_creation_tokens,
        "total_tokens": sums.prompt_tokens + sums.completion_tokens,
        "successful_requests": sums.requests - sums.failures,
        "failed_requests": sums.failures,
        "api_requests": sums.requests,
    }


def entry_json(entry: pb.Entry) -> JsonObject:
    """A row of LiteLLM_SpendLogs. What only the ledger knows is in metadata.meshgate."""
    started = entry.start_time if entry.HasField("start_time") else entry.create_time
    ended = entry.end_time if entry.HasField("end_time") else entry.create_time
    status = "success" if entry.outcome in SUCCESSES else "failure"
    return {
        "request_id": row_id(entry),
        "call_type": entry.call_type,
        "api_key": entry.key_hash,
        "spend": exact_usd(entry.amount_usd_nanos),
        "total_tokens": entry.prompt_tokens + entry.completion_tokens,
        "prompt_tokens": entry.prompt_tokens,
        "completion_tokens": entry.completion_tokens,
        "startTime": iso(started),
        "endTime": iso(ended),
        "completionStartTime": iso(entry.first_token_time) if entry.HasField("first_token_time") else None,
        "request_duration_ms": (ended.ToNanoseconds() - started.ToNanoseconds()) // 1_000_000,
        "model": _model(entry),
        "model_id": entry.deployment_id,
        "model_group": entry.model_group,
        "custom_llm_provider": entry.provider,
        "api_base": entry.api_base,
        "user": entry.user_id or ("" if entry.account_id.startswith("key:") else ADMIN_ID),
        "metadata": _metadata(entry, status),
        "cache_hit": "True" if entry.outcome == "cache_hit" else "False",
        "cache_key": entry.cache_key,
        "request_tags": list(entry.tags),
        "team_id": entry.team_id or None,
        "organization_id": entry.organization_id or None,
        "end_user": entry.end_user,
        "requester_ip_address": entry.requester_ip_address or None,
        "messages": {},
        "response": {},
        "session_id": entry.request_id,
        "status": status,
        "mcp_namespaced_tool_name": None,
        "agent_id": None,
        "proxy_server_request": {},
    }


def row_id(entry: pb.Entry) -> str:
    """The answer's id, as clients know it. A hit has its original's: as in LiteLLM, its own is marked."""
    if entry.outcome != "cache_hit" or not entry.response_id:
        return entry.response_id or entry.request_id
    at = entry.start_time if entry.HasField("start_time") else entry.create_time
    return f"{entry.response_id}{HIT_MARK}{at.ToMicroseconds() / 1e6:.6f}"


def answer_id(asked: str) -> str:
    """The id of the answer in that of a row; other ids stay as they are."""
    return asked.partition(HIT_MARK)[0]


def entries_json(entries: Iterable[pb.Entry], asked: str = "") -> list[JsonObject]:
    """Rows. `asked`: a row's id that was asked for; of an answer's id, all of its rows."""
    rows = [entry_json(entry) for entry in entries]
    return [row for row in rows if row["request_id"] == asked] if HIT_MARK in asked else rows


def _metadata(entry: pb.Entry, status: str) -> JsonObject:
    inputs = entry.input_usd_nanos + entry.cached_input_usd_nanos + entry.cache_creation_usd_nanos
    outputs = entry.output_usd_nanos + entry.reasoning_usd_nanos
    error: JsonObject | None = None
    if status == "failure":
        error = {"error_code": "", "error_class": entry.error_reason, "error_message": entry.error_reason}
        error["llm_provider"] = entry.provider
    return {
        "status": status,
        "usage_object": {
            "prompt_tokens": entry.prompt_tokens,
            "completion_tokens": entry.completion_tokens,
            "total_tokens": entry.prompt_tokens + entry.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": entry.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": entry.reasoning_tokens},
            "cache_creation_input_tokens": entry.cache_creation_tokens,
        },
        "cost_breakdown": {
            "input_cost": exact_usd(inputs),
            "output_cost": exact_usd(outputs),
            "total_cost": exact_usd(inputs + outputs),
            "original_cost": exact_usd(inputs + outputs),
            "tool_usage_cost": exact_usd(0),
        },
        "user_api_key": entry.key_hash,
        "user_api_key_alias": entry.key_alias or None,
        "user_api_key_team_id": entry.team_id or None,
        "user_api_key_team_alias": entry.team_alias or None,
        "user_api_key_user_id": entry.user_id or None,
        "user_api_key_org_id": entry.organization_id or None,
        "requester_ip_address": entry.requester_ip_address or None,
        "spend_logs_metadata": None,
        "applied_guardrails": [],
        "error_information": error,
        "meshgate": {
            "request_id": entry.request_id,
            "kind": entry.kind,
            "leg": entry.leg,
            "outcome": entry.outcome,
            "estimated": entry.estimated,
            "saved": exact_usd(entry.saved_usd_nanos),
            "price": loads(entry.price_json) if entry.price_json else None,
        },
    }


def key_row_json(account: pb.AccountSpend) -> JsonObject:
    """A row of /spend/keys."""
    budget = account.max_budget_usd_nanos if account.HasField("max_budget_usd_nanos") else None
    return {
        "token": account.id,
        "key_name": account.key_name,
        "key_alias": account.key_alias or None,
        "spend": exact_usd(account.spend_usd_nanos),
        "max_budget": None if budget is None else exact_usd(budget),
        "expires": iso(account.expire_time) if account.HasField("expire_time") else None,
        "models": list(account.models),
        "user_id": account.user_id or None,
        "team_id": account.team_id or None,
        "blocked": account.blocked,
        "metadata": loads(account.metadata_json) if account.metadata_json else {},
        "created_at": iso(account.create_time) if account.HasField("create_time") else None,
    }


def short_day(day: str) -> str:
    """2026-11-20 -> Nov 20."""
    return date.fromisoformat(day).strftime("%b %d")


def iso(stamp: Timestamp) -> str:
    """As LiteLLM: milliseconds and Z."""
    moment = datetime.fromtimestamp(stamp.ToMilliseconds() / 1e3, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _model(entry: pb.Entry) -> str:
    if entry.provider and entry.upstream_model:
        return f"{entry.provider}/{entry.upstream_model}"
    return entry.upstream_model or entry.model


def page_json(rows: list[Any], total: int, page: int, page_size: int) -> JsonObject:
    """A page of a list."""
    pages = max(1, -(-total // page_size))
    return {"data": rows, "total": total, "page": page, "page_size": page_size, "total_pages": pages}
