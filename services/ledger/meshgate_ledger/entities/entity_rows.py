"""Entities as rows of ledger.entities. SQL has no text of a client's but in parameters."""

import json

import asyncpg

from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import LimitPlan, over, plan_from_json, plan_json
from meshgate_ledger.entities.records import Entity, EntityFilter, EntityKind, Order, Page

FROM = """
    FROM ledger.entities e
    LEFT JOIN ledger.accounts a ON a.account_id = e.kind || ':' || e.entity_id
    LEFT JOIN ledger.entities b ON b.kind = 'budget' AND b.entity_id = e.budget_id
"""

SELECT = f"""
    SELECT e.*, a.blocked, a.models, b.limits AS budget_limits {FROM}
"""

WHERE = """
    WHERE e.kind = $1
        AND ($2::text[] = '{}' OR e.entity_id = ANY ($2))
        AND ($3 = '' OR strpos(lower(e.alias), lower($3)) > 0)
        AND ($4 = '' OR strpos(lower(e.email), lower($4)) > 0)
        AND ($5 = '' OR e.role = $5)
        AND ($6 = '' OR e.organization_id = $6)
        AND ($7 = '' OR EXISTS (
            SELECT FROM ledger.team_members m WHERE m.team_id = e.entity_id AND m.user_id = $7))
"""

ORDERS = {
    Order.CREATED: "e.created_at",
    Order.UPDATED: "e.updated_at",
    Order.ID: "e.entity_id",
    Order.ALIAS: "e.alias",
    Order.SPEND: "coalesce(a.posted_nanos, 0)",
}

UPSERT = """
    INSERT INTO ledger.entities (kind, entity_id, alias, email, role, organization_id, budget_id, limits,
        member_limits, metadata, settings, created_at, updated_at, created_by, updated_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $13)
    ON CONFLICT (kind, entity_id) DO UPDATE SET (alias, email, role, organization_id, budget_id, limits,
        member_limits, metadata, settings, updated_at, updated_by)
    = (excluded.alias, excluded.email, excluded.role, excluded.organization_id, excluded.budget_id,
        excluded.limits, excluded.member_limits, excluded.metadata, excluded.settings, excluded.updated_at,
        excluded.updated_by)
"""

Found = tuple[Entity, LimitPlan]  # with what holds for it: its own limits over its budget's


async def find(connection: asyncpg.Connection, kind: EntityKind, entity_id: str) -> Found | None:
    """None when there is none."""
    row = await connection.fetchrow(f"{SELECT} WHERE e.kind = $1 AND e.entity_id = $2", kind, entity_id)
    return None if row is None else _found(row)


async def lock(connection: asyncpg.Connection, kind: EntityKind, entity_id: str) -> None:
    """Until the transaction ends nobody else writes it, or reads it to go by it."""
    statement = "SELECT FROM ledger.entities WHERE kind = $1 AND entity_id = $2 FOR UPDATE"
    await connection.execute(statement, kind, entity_id)


async def page_of(
    connection: asyncpg.Connection, wanted: EntityFilter, page: Page
) -> tuple[list[Found], int]:
    """The entities of a page, and how many there are on all."""
    values = (
        wanted.kind,
        list(wanted.entity_ids),
        wanted.alias_contains,
        wanted.email_contains,
        wanted.role,
        wanted.organization_id,
        wanted.member_user_id,
    )
    direction = "DESC" if page.descending else "ASC"
    order = f"ORDER BY {ORDERS[page.order]} {direction}, e.entity_id LIMIT $8 OFFSET $9"
    rows = await connection.fetch(f"{SELECT} {WHERE} {order}", *values, page.size, page.offset)
    total = await connection.fetchval(f"SELECT count(*) {FROM} {WHERE}", *values)
    return [_found(row) for row in rows], total


async def write(work: Work, entity: Entity) -> None:
    """Makes or replaces its row; when and by whom it was made stays."""
    await work.connection.execute(
        UPSERT,
        entity.kind,
        entity.entity_id,
        entity.alias,
        entity.email,
        entity.role,
        entity.organization_id,
        entity.budget_id,
        json.dumps(plan_json(entity.limits)),
        json.dumps(plan_json(entity.member_limits)),
        entity.metadata_json,
        entity.settings_json,
        work.now,
        work.changed_by,
    )


def _found(row: asyncpg.Record) -> Found:
    limits = plan_from_json(json.loads(row["limits"]))
    template = plan_from_json(json.loads(row["budget_limits"] or "{}"))
    entity = Entity(
        kind=EntityKind(row["kind"]),
        entity_id=row["entity_id"],
        alias=row["alias"],
        email=row["email"],
        role=row["role"],
        organization_id=row["organization_id"],
        models=tuple(row["models"] or ()),
        blocked=bool(row["blocked"]),
        budget_id=row["budget_id"],
        limits=limits,
        member_limits=plan_from_json(json.loads(row["member_limits"])),
        metadata_json=row["metadata"],
        settings_json=row["settings"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        created_by=row["created_by"],
        updated_by=row["updated_by"],
    )
    return entity, over(limits, template)
