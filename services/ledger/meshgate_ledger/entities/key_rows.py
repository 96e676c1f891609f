"""Keys as rows of ledger.keys. SQL has no text of a client's but in parameters."""

import json
from collections.abc import Sequence

import asyncpg

from meshgate_ledger.batches import key_from_row
from meshgate_ledger.entities.accounts import PlanChange
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import LimitPlan, over, plan_from_json, plan_json
from meshgate_ledger.entities.records import KeyFilter, Order, Page
from meshgate_ledger.records import KeyRecord

FROM = """
    FROM ledger.keys k
    LEFT JOIN ledger.accounts a ON a.account_id = k.account_id
    LEFT JOIN ledger.entities b ON b.kind = 'budget' AND b.entity_id = k.budget_id
"""

SELECT = f"""
    SELECT to_jsonb(k) AS key, b.limits AS budget_limits {FROM}
"""

LIVE = "k.deleted_at IS NULL"

WHERE = f"""
    WHERE {LIVE}
        AND ($1::text[] = '{{}}' OR k.key_hash = ANY ($1))
        AND ($2::text[] = '{{}}' OR k.user_id = ANY ($2))
        AND ($3::text[] = '{{}}' OR k.team_id = ANY ($3))
        AND ($4 = '' OR k.organization_id = $4)
        AND ($5 = '' OR k.key_alias = $5)
        AND ($6 = '' OR strpos(lower(k.key_alias), lower($6)) > 0)
        AND (NOT $7 OR k.key_alias <> '')
"""

ORDERS = {
    Order.CREATED: "k.created_at",
    Order.UPDATED: "coalesce(k.updated_at, k.created_at)",
    Order.ID: "k.key_hash",
    Order.ALIAS: "k.key_alias",
    Order.SPEND: "coalesce(a.posted_nanos, 0)",
}

UPSERT = """
    INSERT INTO ledger.keys (key_hash, key_name, key_alias, user_id, team_id, models, aliases, blocked,
        metadata, settings, expires_at, created_at, created_by_request, organization_id, tags, budget_id,
        limits, allowed_routes, created_by, updated_by, updated_at, account_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19, $20,
        $21)
    ON CONFLICT (key_hash) DO UPDATE SET (key_name, key_alias, user_id, team_id, models, aliases, blocked,
        metadata, settings, expires_at, created_at, created_by_request, organization_id, tags, budget_id,
        limits, allowed_routes, created_by, updated_by, updated_at, deleted_at, deleted_by_request)
    = (excluded.key_name, excluded.key_alias, excluded.user_id, excluded.team_id, excluded.models,
        excluded.aliases, excluded.blocked, excluded.metadata, excluded.settings, excluded.expires_at,
        excluded.created_at, excluded.created_by_request, excluded.organization_id, excluded.tags,
        excluded.budget_id, excluded.limits, excluded.allowed_routes, excluded.created_by,
        excluded.updated_by, excluded.updated_at, NULL, NULL)
"""

UPDATE = """
    UPDATE ledger.keys SET (key_name, key_alias, user_id, team_id, models, aliases, blocked, metadata,
        settings, expires_at, organization_id, tags, budget_id, limits, allowed_routes, updated_by,
        updated_at)
    = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    WHERE key_hash = $1
"""

DELETE = "UPDATE ledger.keys SET deleted_at = $2, updated_by = $3 WHERE key_hash = ANY ($1)"

Found = tuple[KeyRecord, LimitPlan]  # with what holds for it


async def find(connection: asyncpg.Connection, key_hash: str, *, with_deleted: bool = False) -> Found | None:
    """None when there is none."""
    row = await connection.fetchrow(
        f"{SELECT} WHERE k.key_hash = $1 AND ($2 OR {LIVE})", key_hash, with_deleted
    )
    return None if row is None else _found(row)


async def find_named(
    connection: asyncpg.Connection, hashes: Sequence[str], aliases: Sequence[str]
) -> list[Found]:
    """Those with one of the hashes or aliases."""
    where = f"WHERE {LIVE} AND (k.key_hash = ANY ($1) OR (k.key_alias = ANY ($2) AND k.key_alias <> ''))"
    rows = await connection.fetch(f"{SELECT} {where}", list(hashes), list(aliases))
    return [_found(row) for row in rows]


async def find_all(
    connection: asyncpg.Connection, team_ids: Sequence[str], user_ids: Sequence[str]
) -> list[Found]:
    """Of any of the teams, or of any of the users."""
    rows = await connection.fetch(
        f"{SELECT} WHERE {LIVE} AND (k.team_id = ANY ($1) OR k.user_id = ANY ($2))",
        list(team_ids),
        list(user_ids),
    )
    return [_found(row) for row in rows]


async def page_of(connection: asyncpg.Connection, wanted: KeyFilter, page: Page) -> tuple[list[Found], int]:
    """The keys of a page, and how many there are on all."""
    values = (
        list(wanted.key_hashes),
        list(wanted.user_ids),
        list(wanted.team_ids),
        wanted.organization_id,
        wanted.alias,
        wanted.alias_contains,
        wanted.with_alias,
    )
    direction = "DESC" if page.descending else "ASC"
    order = f"ORDER BY {ORDERS[page.order]} {direction}, k.key_hash LIMIT $8 OFFSET $9"
    rows = await connection.fetch(f"{SELECT} {WHERE} {order}", *values, page.size, page.offset)
    total = await connection.fetchval(f"SELECT count(*) {FROM} {WHERE}", *values)
    return [_found(row) for row in rows], total


async def insert(work: Work, key: KeyRecord, request_id: str) -> None:
    """A new key; one with a hash that exists takes its place and keeps its account."""
    await work.connection.execute(
        UPSERT,
        key.key_hash,
        *_rules(key),
        key.expires_at,
        key.created_at,
        request_id,
        key.organization_id,
        list(key.tags),
        key.budget_id,
        json.dumps(plan_json(key.limits)),
        list(key.allowed_routes),
        work.changed_by,
        work.now,
        key.account_id or None,
    )


async def update(work: Work, key: KeyRecord) -> None:
    """Its rules; hash, account and when it was made stay."""
    await work.connection.execute(
        UPDATE,
        key.key_hash,
        *_rules(key),
        key.expires_at,
        key.organization_id,
        list(key.tags),
        key.budget_id,
        json.dumps(plan_json(key.limits)),
        list(key.allowed_routes),
        work.changed_by,
        work.now,
    )


async def delete(work: Work, hashes: Sequence[str]) -> None:
    """They stop working; their rows stay, because holds and entries name them."""
    await work.connection.execute(DELETE, list(hashes), work.now, work.changed_by)


def locked(keys: Sequence[Found]) -> list[PlanChange]:
    """For keys whose limits do not matter any more: their accounts are locked, and left as they are."""
    return [PlanChange(key.account_id, plan, plan) for key, plan in keys]


def _rules(key: KeyRecord) -> tuple[object, ...]:
    return (
        key.key_name,
        key.key_alias,
        key.user_id,
        key.team_id,
        list(key.models),
        json.dumps(dict(key.aliases)),
        key.blocked,
        key.metadata_json,
        key.settings_json,
    )


def _found(row: asyncpg.Record) -> Found:
    stored = json.loads(row["key"])
    plan = over(plan_from_json(stored["limits"]), plan_from_json(json.loads(row["budget_limits"] or "{}")))
    return key_from_row(stored | {"limit_nanos": plan.max_budget_nanos}), plan
