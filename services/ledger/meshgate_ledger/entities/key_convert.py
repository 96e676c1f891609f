"""A key of the contract <-> the ledger's own; the contract's limits on what is said are checked here."""

import re
from datetime import datetime

from meshgate_chassis.errors import invalid_field
from meshgate_ledger.entities.convert import (
    BUDGET_NANOS_MAX,
    ID_CHARACTERS_MAX,
    MODELS_MAX,
    id_from,
    plan_from,
    plan_to,
    timestamp,
    usage_to,
)
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.entities.text import count_from, document_from, ids_from, text_from
from meshgate_ledger.records import KeyRecord, KeyState, utc
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

TAGS_MAX = 64
ROUTES_MAX = 100
TIME_S_MAX = 253_402_300_799  # the end of the year 9999
KEY_HASH = re.compile(r"[0-9a-f]{64}")


def key_from(key: pb.Key) -> KeyRecord:
    """The rules of a key."""
    if not KEY_HASH.fullmatch(key.key_hash):
        raise invalid_field("key_hash", "must be the SHA-256 of the key, 64 lower-case hex digits")
    if len(key.models) > MODELS_MAX or len(key.aliases) > MODELS_MAX:
        raise invalid_field("models", f"there are more than {MODELS_MAX} models or aliases")
    return KeyRecord(
        key_hash=key.key_hash,
        key_name=text_from("key_name", key.key_name),
        key_alias=text_from("key_alias", key.key_alias),
        user_id=_id("user_id", key.user_id),
        team_id=_id("team_id", key.team_id),
        models=tuple(text_from("models", name, required=True) for name in key.models),
        aliases={
            text_from("aliases", alias, required=True): text_from("aliases", model, required=True)
            for alias, model in key.aliases.items()
        },
        expires_at=_expiry(key),
        blocked=key.blocked,
        metadata_json=document_from("metadata", key.metadata_json),
        settings_json=document_from("settings", key.settings_json),
        organization_id=_id("organization_id", key.organization_id),
        tags=ids_from("tags", key.tags, TAGS_MAX),
        budget_id=text_from("budget_id", key.budget_id, ID_CHARACTERS_MAX),
        limits=_limits(key),
        allowed_routes=ids_from("allowed_routes", key.allowed_routes, ROUTES_MAX),
    )


def key_rules_to(record: KeyRecord) -> pb.Key:
    """A key without its money."""
    return pb.Key(
        key_hash=record.key_hash,
        key_name=record.key_name,
        key_alias=record.key_alias,
        user_id=record.user_id,
        team_id=record.team_id,
        models=record.models,
        aliases=record.aliases,
        expire_time=None if record.expires_at is None else timestamp(record.expires_at),
        create_time=timestamp(record.created_at),
        blocked=record.blocked,
        metadata_json=record.metadata_json,
        settings_json=record.settings_json,
        organization_id=record.organization_id,
        tags=record.tags,
        budget_id=record.budget_id,
        limits=plan_to(record.limits),
        update_time=timestamp(record.updated_at or record.created_at),
        created_by=record.created_by,
        updated_by=record.updated_by,
        allowed_routes=record.allowed_routes,
    )


def key_to(state: KeyState) -> pb.Key:
    message = key_rules_to(state.record)
    message.spend_usd_nanos = state.posted_nanos
    message.held_usd_nanos = state.held_nanos
    if state.plan.max_budget_nanos is not None:
        message.max_budget_usd_nanos = state.plan.max_budget_nanos
    message.effective_limits.CopyFrom(plan_to(state.plan))
    message.usage.CopyFrom(usage_to(state.usage))
    return message


def _limits(key: pb.Key) -> LimitPlan:
    if key.HasField("limits") or not key.HasField("max_budget_usd_nanos"):
        return plan_from(key.limits)
    return LimitPlan(max_budget_nanos=count_from("max_budget", key.max_budget_usd_nanos, BUDGET_NANOS_MAX))


def _id(field: str, text: str) -> str:
    return id_from(field, text) if text else ""


def _expiry(key: pb.Key) -> datetime | None:
    if not key.HasField("expire_time"):
        return None
    if not 0 <= key.expire_time.seconds <= TIME_S_MAX:
        raise invalid_field("duration", "is not between 1970 and 9999")
    return utc(key.expire_time.seconds * 1_000_000_000 + key.expire_time.nanos)
