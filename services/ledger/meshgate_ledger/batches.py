"""Reservations as PostgreSQL takes them: rows in, rows out, many at a time.

Knows the SQL types of migrations/0005_decide.sql and nothing of when to send them. The fields of a row are
in the order of its SQL type. Accounts are sent once for each batch, however many items name them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from meshgate_ledger.call_rules import key_rules
from meshgate_ledger.entities.plan import plan_from_json
from meshgate_ledger.limits import LimitNow
from meshgate_ledger.records import KeyRecord
from meshgate_ledger.scopes import Scope

KEY_VERSION_NONE_KNOWN = -1
RESERVE = "SELECT * FROM ledger.reserve($1, $2, $3, $4, $5, $6)"


class ReserveItem(NamedTuple):
    """See the SQL type, but for `scopes`, which are numbers there."""

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


class Reserved(NamedTuple):
    """A request's hold as it is in the database, or state "stale".

    `refused_by`: the limit that did; `limits`: all that took part, after a grant by this batch.
    """

    state: str
    account_id: str
    model: str
    resolved_model: str
    output_tokens: int
    amount_nanos: int
    spend_nanos: int
    denial_reason: str | None
    denial_message: str | None
    refused_by: LimitNow | None
    is_repeat: bool
    limits: tuple[LimitNow, ...] = ()


STALE = Reserved("stale", "", "", "", 0, 0, 0, None, None, None, is_repeat=False)


@dataclass(frozen=True, slots=True)
class ReserveBatch:
    """How a batch is told to PostgreSQL."""

    now: datetime
    durable: bool
    timezone: str


async def run_reserve(
    connection: asyncpg.Connection, batch: ReserveBatch, items: Sequence[ReserveItem]
) -> list[Reserved]:
    """Decides the items in one round trip; one result for each, in their order."""
    versions = _newest_versions(items)
    numbers = {account_id: number for number, account_id in enumerate(versions, 1)}
    asked: dict[str, _Asked] = {}
    numbered: dict[int, list[int] | None] = {}  # by the identity of the scopes: calls of one kind share them
    for item in items:
        if item.request_id not in asked:
            if id(item.scopes) not in numbered:
                numbered[id(item.scopes)] = _numbered(item.scopes, numbers, versions)
            scopes = numbered[id(item.scopes)]
            if scopes is not None:
                asked[item.request_id] = _Asked(item, scopes)
    found: dict[str, Reserved] = {}
    if asked:
        answer = await connection.fetchrow(
            RESERVE,
            batch.now,
            batch.durable,
            batch.timezone,
            list(versions),
            list(versions.values()),
            [(each.item[0], each.scopes, *each.item[2:]) for each in asked.values()],
        )
        found = _decisions(answer, list(versions), list(asked.values()))
    if len(found) == len(items):
        return [found[item.request_id] for item in items]
    results = []
    for item in items:
        reserved = found.get(item.request_id, STALE)
        results.append(reserved)
        if not reserved.is_repeat and reserved is not STALE:
            found[item.request_id] = reserved._replace(is_repeat=True)  # twice in one batch
    return results


class _Asked(NamedTuple):
    """An item and its scopes by number."""

    item: ReserveItem
    scopes: list[int]


def _newest_versions(items: Sequence[ReserveItem]) -> dict[str, int]:
    """Of each account that an item names; of two records the newer one."""
    versions: dict[str, int] = {}
    for scopes in {id(item.scopes): item.scopes for item in items}.values():
        for scope in scopes:
            record = scope.record
            if record.version > versions.get(record.account_id, -1):
                versions[record.account_id] = record.version
    return versions


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
    answer: asyncpg.Record, account_ids: Sequence[str], asked: Sequence[_Asked]
) -> dict[str, Reserved]:
    by_scope: dict[int, list[asyncpg.Record]] = {}
    for limit in answer["limits"]:
        by_scope.setdefault(limit["scope"], []).append(limit)
    found = {}
    columns = ("states", "amounts", "outputs", "spends", "reasons", "refusals", "used_to")
    used, used_from = answer["used_after"], 0
    for each, state, amount, output, spend, reason, refusal, used_to in zip(
        asked, *(answer[name] for name in columns), strict=True
    ):
        if state is None:
            continue
        item = each.item
        limits: tuple[LimitNow, ...] = ()
        if used_to is not None and used_to > used_from:
            limits = _limits(used[used_from:used_to], each.scopes, account_ids, by_scope)
            used_from = used_to
        found[item.request_id] = Reserved(
            state,
            item.scopes[0].record.account_id,
            item.model,
            item.resolved_model,
            item.output_tokens if output is None else output,
            item.amount_nanos if amount is None else amount,
            spend,
            reason,
            item.denial_message,
            limit_from_json(refusal),
            False,
            limits,
        )
    for row in answer["earlier"]:
        found[asked[row["number"] - 1].item.request_id] = _earlier(row)
    return found


def _limits(
    used: Sequence[int],
    scopes: Sequence[int],
    account_ids: Sequence[str],
    by_scope: dict[int, list[asyncpg.Record]],
) -> tuple[LimitNow, ...]:
    """The limits that took part in a grant; `used` has a number for each limit of each scope."""
    parts = [(scope, limit) for scope in scopes for limit in by_scope.get(abs(scope), ())]
    return tuple(
        LimitNow(
            account_ids[abs(scope) - 1],
            limit["metric"],
            limit["period"],
            limit["maximum"],
            count,
            limit["soft_maximum"],
            limit["ends_at"],
        )
        for (scope, limit), count in zip(parts, used, strict=True)
        if scope > 0 or limit["metric"] != "spend"
    )


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
        allowed_routes=tuple(row["allowed_routes"]),
        rules=key_rules(row["settings"], row["metadata"]),
    )


def _earlier(row: asyncpg.Record) -> Reserved:
    """By another transaction, or not at all."""
    if row["state"] is None:
        return STALE
    return Reserved(
        state=row["state"],
        account_id=row["account_id"],
        model=row["model"],
        resolved_model=row["resolved_model"],
        output_tokens=row["output_tokens"],
        amount_nanos=row["amount_nanos"],
        spend_nanos=row["spend_nanos"],
        denial_reason=row["denial_reason"],
        denial_message=row["denial_message"],
        refused_by=limit_from_json(row["denial_limit"]),
        is_repeat=True,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
