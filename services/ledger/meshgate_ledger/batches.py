"""Reservations as PostgreSQL takes them: rows in, rows out, many at a time.

Knows the SQL types of migrations/0005_decide.sql and nothing of when to send them. The fields of a row are
in the order of its SQL type. Accounts are sent once for each batch, however many items name them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import asyncpg

from meshgate_ledger.entities.plan import plan_from_json
from meshgate_ledger.limits import LimitNow
from meshgate_ledger.records import KeyRecord
from meshgate_ledger.scopes import Scope

KEY_VERSION_NONE_KNOWN = -1
RESERVE = "SELECT * FROM ledger.reserve($1, $2, $3, $4, $5, $6)"


@dataclass(frozen=True, slots=True)
class ReserveItem:
    """See the SQL type. `scopes`: the payer's first, none twice."""

    request_id: str
    scopes: tuple[Scope, ...]
    key_hash: str
    key_version: int | None
    model: str
    resolved_model: str
    prompt_tokens: int
    output_tokens: int
    input_nanos: int
    amount_nanos: int
    least_nanos: int | None
    least_tokens: int | None
    expires_at: datetime
    end_user: str
    tags: tuple[str, ...]
    user_id: str
    team_id: str
    organization_id: str
    edge_id: str
    denial_reason: str | None
    denial_message: str | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """A request's hold as it is in the database, or state "stale".

    `refused_by`: the limit that did; `limits`: all that took part, after a grant by this batch.
    """

    state: str
    account_id: str
    model: str
    resolved_model: str
    output_tokens: int
    input_nanos: int
    amount_nanos: int
    spend_nanos: int
    denial_reason: str | None
    denial_message: str | None
    refused_by: LimitNow | None
    is_repeat: bool
    limits: tuple[LimitNow, ...] = ()


STALE = Reserved("stale", "", "", "", 0, 0, 0, 0, None, None, None, is_repeat=False)


@dataclass(frozen=True, slots=True)
class ReserveBatch:
    """How a batch is told to PostgreSQL."""

    now: datetime
    durable: bool
    timezone: str


# dataclasses.astuple copies deeply, at twenty times the price.
_fields = attrgetter(
    "key_hash",
    "key_version",
    "model",
    "resolved_model",
    "prompt_tokens",
    "output_tokens",
    "input_nanos",
    "amount_nanos",
    "least_nanos",
    "least_tokens",
    "expires_at",
    "end_user",
    "tags",
    "user_id",
    "team_id",
    "organization_id",
    "edge_id",
    "denial_reason",
    "denial_message",
)


async def run_reserve(
    connection: asyncpg.Connection, batch: ReserveBatch, items: Sequence[ReserveItem]
) -> list[Reserved]:
    """Decides the items in one round trip; one result for each, in their order."""
    versions: dict[str, int] = {}
    for item in items:
        for scope in item.scopes:
            record = scope.record
            known = versions.get(record.account_id, -1)
            if record.version > known:
                versions[record.account_id] = record.version
    numbers = {account_id: number for number, account_id in enumerate(versions, 1)}
    rows: dict[str, tuple[object, ...]] = {}
    scope_numbers: dict[str, list[int]] = {}
    for item in items:
        if item.request_id not in rows:
            scopes = _numbered(item.scopes, numbers, versions)
            if scopes is not None:
                rows[item.request_id] = (item.request_id, scopes, *_fields(item))
                scope_numbers[item.request_id] = scopes
    found: dict[str, Reserved] = {}
    if rows:
        answer = await connection.fetchrow(
            RESERVE,
            batch.now,
            batch.durable,
            batch.timezone,
            list(numbers),
            list(versions.values()),
            list(rows.values()),
        )
        found = _decisions(answer, list(numbers), scope_numbers)
    results = []
    told: set[str] = set()
    for item in items:
        reserved = found.get(item.request_id, STALE)
        if item.request_id in told and reserved.state != "stale":
            reserved = replace(reserved, is_repeat=True)  # twice in one batch
        told.add(item.request_id)
        results.append(reserved)
    return results


def _numbered(scopes: Sequence[Scope], numbers: dict[str, int], versions: dict[str, int]) -> list[int] | None:
    """The scopes as the SQL type has them; None when somebody knows a newer record of one."""
    found = []
    for scope in scopes:
        account_id = scope.record.account_id
        if scope.record.version != versions[account_id]:
            return None
        found.append(numbers[account_id] if scope.has_budget else -numbers[account_id])
    return found


def _decisions(
    answer: asyncpg.Record, account_ids: Sequence[str], scope_numbers: dict[str, list[int]]
) -> dict[str, Reserved]:
    by_scope: dict[int, list[asyncpg.Record]] = {}
    for limit in answer["limits"]:
        by_scope.setdefault(limit["scope"], []).append(limit)
    found = {}
    for row in answer["decisions"]:
        limits: tuple[LimitNow, ...] = ()
        if row["used"]:
            numbers = scope_numbers[row["request_id"]]
            parts = [
                (account_ids[abs(number) - 1], number > 0, limit)
                for number in numbers
                for limit in by_scope.get(abs(number), ())
            ]
            limits = tuple(
                LimitNow(
                    account_id,
                    limit["metric"],
                    limit["period"],
                    limit["maximum"],
                    used,
                    limit["soft_maximum"],
                    limit["ends_at"],
                )
                for (account_id, has_budget, limit), used in zip(parts, row["used"], strict=True)
                if has_budget or limit["metric"] != "spend"
            )
        found[row["request_id"]] = _reserved(row, limits)
    return found


def limit_from_json(text: str | None) -> LimitNow | None:
    """A limit that refused, as SQL writes it down."""
    if text is None:
        return None
    row = json.loads(text)
    return LimitNow(
        row["account_id"],
        row["metric"],
        row["period"],
        row["maximum"],
        row["used"],
        ends_at=_time(row["ends_at"]),
    )


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


def _reserved(row: asyncpg.Record, limits: tuple[LimitNow, ...]) -> Reserved:
    return Reserved(
        state=row["state"],
        account_id=row["account_id"],
        model=row["model"],
        resolved_model=row["resolved_model"],
        output_tokens=row["output_tokens"],
        input_nanos=row["input_nanos"],
        amount_nanos=row["amount_nanos"],
        spend_nanos=row["spend_nanos"],
        denial_reason=row["denial_reason"],
        denial_message=row["denial_message"],
        refused_by=limit_from_json(row["denial_limit"]),
        is_repeat=row["is_repeat"],
        limits=limits,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
