"""Reservations and endings as PostgreSQL takes them: rows in, rows out, many at a time.

Knows the SQL types `ledger.reserve_item` and `ledger.close_item` and nothing of when to send them. The
fields of an item are in the order of its SQL type.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import asyncpg

from meshgate_ledger.entities.plan import plan_from_json
from meshgate_ledger.records import KeyRecord

KEY_VERSION_NONE_KNOWN = -1
RESERVE = "SELECT * FROM ledger.reserve($1, $2, $3)"
CLOSE = "SELECT * FROM ledger.close($1, $2)"


@dataclass(frozen=True, slots=True)
class ReserveItem:
    """See the SQL type."""

    request_id: str
    account_id: str
    key_hash: str
    key_version: int | None
    model: str
    resolved_model: str
    prompt_tokens: int
    output_tokens: int
    input_nanos: int
    amount_nanos: int
    expires_at: datetime
    end_user: str
    tags: tuple[str, ...]
    denial_reason: str | None
    denial_message: str | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """A request's hold as it is in the database, or state "stale"; `key`: see the SQL function."""

    state: str
    account_id: str
    model: str
    resolved_model: str
    amount_nanos: int
    spend_nanos: int
    limit_nanos: int | None
    denial_reason: str | None
    denial_message: str | None
    is_repeat: bool
    key: KeyRecord | None


@dataclass(frozen=True, slots=True)
class CloseItem:
    """See the SQL type."""

    request_id: str
    kind: str
    account_id: str | None = None
    key_hash: str = ""
    input_nanos: int = 0
    cached_input_nanos: int = 0
    cache_creation_nanos: int = 0
    output_nanos: int = 0
    reasoning_nanos: int = 0
    price: str | None = None
    is_unpriced: bool = False
    saved_nanos: int = 0
    estimated: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    uncompressed_prompt_tokens: int | None = None
    outcome: str = ""
    error_reason: str = ""
    model_group: str = ""
    deployment_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    cache_key: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    first_token_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The state of a request's hold (None: it has none) and its charge, when it has one."""

    state: str | None
    balance_nanos: int | None
    input_nanos: int | None
    cached_input_nanos: int | None
    cache_creation_nanos: int | None
    output_nanos: int | None
    reasoning_nanos: int | None


# dataclasses.astuple copies deeply, at twenty times the price.
_reserve_row = attrgetter(*(field.name for field in fields(ReserveItem)))
_close_row = attrgetter(*(field.name for field in fields(CloseItem)))


async def run_reserve(
    connection: asyncpg.Connection, now: datetime, durable: bool, items: Sequence[ReserveItem]
) -> list[Reserved]:
    """Decides the items in one round trip; one result for each, in their order."""
    rows = await connection.fetch(RESERVE, now, durable, [_reserve_row(item) for item in items])
    found = {row["request_id"]: _reserved(row) for row in rows}
    if len(found) == len(items):
        return [found[item.request_id] for item in items]
    results = []
    for item in items:
        results.append(found[item.request_id])
        found[item.request_id] = replace(found[item.request_id], is_repeat=True)  # twice in one batch
    return results


async def run_close(
    connection: asyncpg.Connection, now: datetime, items: Sequence[CloseItem]
) -> list[Closed]:
    """Ends the items' holds in one round trip; one result for each, in their order."""
    rows = await connection.fetch(CLOSE, now, [_close_row(item) for item in items])
    found = {row["request_id"]: _closed(row) for row in rows}
    return [found[item.request_id] for item in items]


def key_from_row(row: dict[str, Any]) -> KeyRecord:
    """A row of ledger.keys, with its account's `limit_nanos`."""
    return KeyRecord(
        key_hash=row["key_hash"],
        key_name=row["key_name"],
        key_alias=row["key_alias"],
        user_id=row["user_id"],
        team_id=row["team_id"],
        models=tuple(row["models"]),
        aliases=row["aliases"],
        max_budget_nanos=row["limit_nanos"],
        expires_at=_time(row["expires_at"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        blocked=row["blocked"],
        metadata_json=row["metadata"],
        settings_json=row["settings"],
        version=row["version"],
        organization_id=row["organization_id"],
        tags=tuple(row["tags"]),
        budget_id=row["budget_id"],
        limits=plan_from_json(row["limits"]),
        account_id=row["account_id"],
        created_by=row["created_by"],
        updated_by=row["updated_by"],
        updated_at=_time(row["updated_at"]),
    )


def _reserved(row: asyncpg.Record) -> Reserved:
    key = row["key"]
    return Reserved(
        state=row["state"],
        account_id=row["account_id"],
        model=row["model"],
        resolved_model=row["resolved_model"],
        amount_nanos=row["amount_nanos"],
        spend_nanos=row["spend_nanos"],
        limit_nanos=row["limit_nanos"],
        denial_reason=row["denial_reason"],
        denial_message=row["denial_message"],
        is_repeat=row["is_repeat"],
        key=None if key is None else key_from_row(json.loads(key)),
    )


def _closed(row: asyncpg.Record) -> Closed:
    return Closed(
        state=row["state"],
        balance_nanos=row["balance_nanos"],
        input_nanos=row["input_nanos"],
        cached_input_nanos=row["cached_input_nanos"],
        cache_creation_nanos=row["cache_creation_nanos"],
        output_nanos=row["output_nanos"],
        reasoning_nanos=row["reasoning_nanos"],
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
