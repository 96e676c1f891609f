"""The ledger's Key <-> what /key/generate takes and /key/* answers. Pure."""

from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_edge.authentication import key_hash
from meshgate_edge.http_key_models import GenerateKeyRequest
from meshgate_edge.keys import key_name, nanos_to_usd, parse_duration_s, usd_to_nanos
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

ADMIN_ID: Final = "default_user_id"  # LiteLLM's name for who holds the master key

# Members that LiteLLM's answers always have, with their values when nothing was given.
_ALWAYS: Final[JsonObject] = {
    "max_parallel_requests": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "budget_duration": None,
    "budget_id": None,
    "allowed_cache_controls": [],
    "allowed_routes": [],
    "config": {},
    "permissions": {},
    "model_max_budget": {},
    "model_rpm_limit": None,
    "model_tpm_limit": None,
    "guardrails": None,
    "tags": None,
    "enforced_params": None,
    "organization_id": None,
    "object_permission": None,
    "litellm_budget_table": None,
}
_ALWAYS_IN_INFO: Final[JsonObject] = {
    "soft_budget_cooldown": False,
    "budget_reset_at": None,
    "model_spend": {},
    "object_permission_id": None,
    "rotation_count": 0,
    "auto_rotate": False,
    "litellm_organization_table": None,
}


def new_record(body: GenerateKeyRequest, key: str, now_ns: int) -> pb.Key:
    """What the ledger is to store for a new secret. Raises `invalid_field`."""
    record = pb.Key(
        key_hash=key_hash(key),
        key_name=key_name(key),
        key_alias=body.key_alias or "",
        user_id=body.user_id or "",
        team_id=body.team_id or "",
        models=body.models or (),
        aliases=body.aliases or {},
        blocked=bool(body.blocked),
    )
    if body.max_budget is not None:
        record.max_budget_usd_nanos = usd_to_nanos(body.max_budget, "max_budget")
    if body.duration is not None:
        record.expire_time.FromNanoseconds(now_ns + parse_duration_s(body.duration) * 1_000_000_000)
    if body.metadata:
        record.metadata_json = dumps(body.metadata).decode()
    kept = body.kept()
    if kept:
        record.settings_json = dumps(kept).decode()
    return record


def generated_json(record: pb.Key, key: str) -> JsonObject:
    """Answer of /key/generate: the only time that the secret is shown."""
    return _members(record) | {
        "key": key,
        "token": record.key_hash,
        "token_id": record.key_hash,
        "duration": None,
    }


def info_json(record: pb.Key, asked: str, now_ns: int) -> JsonObject:
    """Answer of /key/info: flat members, and the same under `info` as LiteLLM has them."""
    info = _ALWAYS_IN_INFO | _members(record)
    spend = nanos_to_usd(record.spend_usd_nanos)
    flat = info | {"held": nanos_to_usd(record.held_usd_nanos), "budget_remaining": None}
    flat["budget_exceeded"] = False
    if record.HasField("max_budget_usd_nanos"):
        left = record.max_budget_usd_nanos - record.spend_usd_nanos
        flat["budget_remaining"] = nanos_to_usd(max(0, left))
        flat["budget_exceeded"] = left <= 0
    flat["spend"] = spend
    flat["status"] = _status(record, now_ns)
    return flat | {"key": asked, "info": info}


def account_record(account: pb.Account, principal_hash: str) -> pb.Key:
    """Who is no key but calls nevertheless (the master key, open mode), seen as one."""
    record = pb.Key(
        key_hash=account.key_hash or principal_hash,
        key_name=account.tenant_id,
        key_alias=account.key_alias,
        user_id=account.user_id or ADMIN_ID,
        team_id=account.team_id,
        spend_usd_nanos=account.spend_usd_nanos,
    )
    if account.HasField("max_budget_usd_nanos"):
        record.max_budget_usd_nanos = account.max_budget_usd_nanos
    return record


def _members(record: pb.Key) -> JsonObject:
    budget = record.max_budget_usd_nanos if record.HasField("max_budget_usd_nanos") else None
    settings: JsonObject = loads_object(record.settings_json) if record.settings_json else {}
    created = _iso(record.create_time) if record.HasField("create_time") else None
    return (
        _ALWAYS
        | settings
        | {
            "key_name": record.key_name,
            "key_alias": record.key_alias or None,
            "spend": nanos_to_usd(record.spend_usd_nanos),
            "expires": _iso(record.expire_time) if record.HasField("expire_time") else None,
            "models": list(record.models),
            "aliases": dict(record.aliases),
            "user_id": record.user_id or None,
            "team_id": record.team_id or None,
            "max_budget": None if budget is None else nanos_to_usd(budget),
            "metadata": loads_object(record.metadata_json) if record.metadata_json else {},
            "blocked": record.blocked,
            "created_at": created,
            "updated_at": created,
            "created_by": ADMIN_ID,
            "updated_by": ADMIN_ID,
        }
    )


def _status(record: pb.Key, now_ns: int) -> str:
    if record.blocked:
        return "blocked"
    expired = record.HasField("expire_time") and record.expire_time.ToNanoseconds() <= now_ns
    return "expired" if expired else "active"


def _iso(time: Timestamp) -> str:
    moment: Any = datetime.fromtimestamp(time.ToMilliseconds() / 1e3, UTC)
    return str(moment.isoformat(timespec="milliseconds")).replace("+00:00", "Z")
