"""The ledger's Key <-> what /key/generate takes and /key/* answers. Pure."""

from collections.abc import Sequence
from typing import Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_chassis.errors import invalid_field
from meshgate_chassis.routes import KEY_TYPES
from meshgate_edge.http.authentication import key_hash
from meshgate_edge.management.key_models import KeyMembers
from meshgate_edge.management.key_values import key_name, nanos_to_usd, parse_duration_s
from meshgate_edge.management.limits import budget_table, iso, limits_json, usage_json
from meshgate_edge.management.managed_body import kept_json
from meshgate_edge.management.management import ADMIN_ID
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

# Members that LiteLLM's answers always have, with their values when nothing was given.
_ALWAYS: Final[JsonObject] = {
    "allowed_cache_controls": [],
    "config": {},
    "permissions": {},
    "guardrails": None,
    "enforced_params": None,
    "object_permission": None,
    "prompts": None,
    "router_settings": None,
    "allowed_passthrough_routes": None,
    "allowed_vector_store_indexes": None,
    "rpm_limit_type": None,
    "tpm_limit_type": None,
}
_ALWAYS_IN_INFO: Final[JsonObject] = {
    "soft_budget_cooldown": False,
    "object_permission_id": None,
    "rotation_count": 0,
    "auto_rotate": False,
    "rotation_interval": None,
    "last_rotation_at": None,
    "key_rotation_at": None,
    "litellm_organization_table": None,
}
# LiteLLM's member -> field of Key, for those that are taken as they are.
_FIELDS: Final = {
    "key_alias": "key_alias",
    "models": "models",
    "aliases": "aliases",
    "user_id": "user_id",
    "team_id": "team_id",
    "organization_id": "organization_id",
    "budget_id": "budget_id",
    "blocked": "blocked",
    "tags": "tags",
    "allowed_routes": "allowed_routes",
    "key_type": "allowed_routes",
    "duration": "expire_time",
    "metadata": "metadata_json",
}
NEVER: Final = "-1"  # LiteLLM's duration of a key that does not expire


def new_record(body: KeyMembers, key: str, now_ns: int) -> pb.Key:
    """What the ledger is to store for a new secret. Raises `invalid_field`."""
    record = rules_record(body, now_ns)
    record.key_hash = key_hash(key)
    record.key_name = key_name(key)
    record.settings_json = body.settings_json()
    return record


def rules_record(body: KeyMembers, now_ns: int) -> pb.Key:
    """What is given of a key's rules. Raises `invalid_field`."""
    record = pb.Key(
        key_alias=body.key_alias or "",
        user_id=body.user_id or "",
        team_id=body.team_id or "",
        organization_id=body.organization_id or "",
        budget_id=body.budget_id or "",
        models=body.models or (),
        aliases=body.aliases or {},
        blocked=bool(body.blocked),
        tags=body.tags or (),
        limits=body.limits(),
        allowed_routes=_routes(body),
    )
    if body.duration is not None and body.duration != NEVER:
        record.expire_time.FromNanoseconds(now_ns + parse_duration_s(body.duration) * 1_000_000_000)
    if body.metadata:
        record.metadata_json = dumps(body.metadata).decode()
    return record


def rules_paths(body: KeyMembers) -> list[str]:
    """The mask for what is given; what is only kept counts as one."""
    paths = list(dict.fromkeys(field for name, field in _FIELDS.items() if name in body.model_fields_set))
    if body.kept():
        paths.append("settings_json")
    return [*paths, *body.limit_paths()]


def generated_json(record: pb.Key, key: str) -> JsonObject:
    """Answer of /key/generate: the only time that the secret is shown."""
    return row_json(record) | {"key": key, "token_id": record.key_hash, "duration": None}


def row_json(record: pb.Key) -> JsonObject:
    """A key as LiteLLM lists it, by its hash."""
    return _members(record) | {"token": record.key_hash}


def info_json(record: pb.Key, asked: str, now_ns: int) -> JsonObject:
    """Answer of /key/info: flat members, and the same under `info` as LiteLLM has them."""
    info = _ALWAYS_IN_INFO | _members(record)
    flat = info | {"held": nanos_to_usd(record.held_usd_nanos), "budget_remaining": None}
    flat["budget_exceeded"] = False
    if record.effective_limits.HasField("max_budget_usd_nanos"):
        left = record.effective_limits.max_budget_usd_nanos - record.usage.spend_usd_nanos
        flat["budget_remaining"] = nanos_to_usd(max(0, left))
        flat["budget_exceeded"] = left <= 0
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
    )
    record.usage.spend_usd_nanos = record.usage.total_spend_usd_nanos = account.spend_usd_nanos
    if account.HasField("max_budget_usd_nanos"):
        record.limits.max_budget_usd_nanos = account.max_budget_usd_nanos
        record.effective_limits.CopyFrom(record.limits)
    return record


def _members(record: pb.Key) -> JsonObject:
    created = iso(record.create_time) if record.HasField("create_time") else None
    models = record.usage.model_spend_usd_nanos
    return (
        _ALWAYS
        | kept_json(record.settings_json)
        | limits_json(record.limits)
        | usage_json(record.usage)
        | {
            "key_name": record.key_name,
            "key_alias": record.key_alias or None,
            "expires": iso(record.expire_time) if record.HasField("expire_time") else None,
            "models": list(record.models),
            "aliases": dict(record.aliases),
            "user_id": record.user_id or None,
            "team_id": record.team_id or None,
            "organization_id": record.organization_id or None,
            "budget_id": record.budget_id or None,
            "litellm_budget_table": (
                budget_table(record.effective_limits, record.budget_id) if record.budget_id else None
            ),
            "tags": list(record.tags) or None,
            "allowed_routes": list(record.allowed_routes),
            "key_type": key_type_of(record.allowed_routes),
            "metadata": loads_object(record.metadata_json) if record.metadata_json else {},
            "blocked": record.blocked,
            "model_spend": {model: nanos_to_usd(nanos) for model, nanos in sorted(models.items())},
            "created_at": created,
            "updated_at": iso(record.update_time) if record.HasField("update_time") else created,
            "created_by": record.created_by or ADMIN_ID,
            "updated_by": record.updated_by or ADMIN_ID,
        }
    )


def _routes(body: KeyMembers) -> Sequence[str]:
    rules = KEY_TYPES[body.key_type or "default"]
    if not rules:
        return body.allowed_routes or ()
    if body.allowed_routes:
        raise invalid_field("key_type", "key_type and allowed_routes say the same: give one of them")
    return rules


def key_type_of(rules: Sequence[str]) -> str:
    """LiteLLM's word for the rules; "default" also for those that have none."""
    return next((name for name, each in KEY_TYPES.items() if tuple(rules) == each), "default")


def _status(record: pb.Key, now_ns: int) -> str:
    if record.blocked:
        return "blocked"
    expired = record.HasField("expire_time") and record.expire_time.ToNanoseconds() <= now_ns
    return "expired" if expired else "active"
