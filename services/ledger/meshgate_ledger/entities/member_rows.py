"""Members of teams as rows of ledger.team_members."""

import json
from collections.abc import Sequence

import asyncpg

from meshgate_ledger.account_ids import member_account
from meshgate_ledger.entities.accounts import PlanChange
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan, over, plan_from_json, plan_json
from meshgate_ledger.entities.records import Entity, Member, Page

FROM = """
    FROM ledger.team_members m
    LEFT JOIN ledger.entities t ON t.kind = 'team' AND t.entity_id = m.team_id
    LEFT JOIN ledger.entities u ON u.kind = 'user' AND u.entity_id = m.user_id
    LEFT JOIN ledger.entities b ON b.kind = 'budget' AND b.entity_id = m.budget_id
"""
SELECT = f"""
    SELECT m.*, coalesce(u.email, '') AS user_email, t.member_limits, b.limits AS budget_limits {FROM}
"""
WHERE = """
    WHERE ($1::text[] = '{}' OR m.team_id = ANY ($1)) AND ($2::text[] = '{}' OR m.user_id = ANY ($2))
"""
UPSERT = """
    INSERT INTO ledger.team_members (team_id, user_id, role, budget_id, limits, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (team_id, user_id) DO UPDATE SET (role, budget_id, limits)
    = (excluded.role, excluded.budget_id, excluded.limits)
"""
DELETE = "DELETE FROM ledger.team_members WHERE team_id = $1 AND user_id = $2"

Found = tuple[Member, LimitPlan]  # with what holds for them


async def find_all(
    connection: asyncpg.Connection, team_ids: Sequence[str], user_ids: Sequence[str]
) -> list[Found]:
    """Of any of the teams (none named: of all), any of the users."""
    rows = await connection.fetch(
        f"{SELECT} {WHERE} ORDER BY m.team_id, m.user_id", list(team_ids), list(user_ids)
    )
    return [_found(row) for row in rows]


async def page_of(
    connection: asyncpg.Connection, team_ids: Sequence[str], user_ids: Sequence[str], page: Page
) -> tuple[list[Found], int]:
    """The members of a page, by team and user, and how many there are on all."""
    values = (list(team_ids), list(user_ids))
    rows = await connection.fetch(
        f"{SELECT} {WHERE} ORDER BY m.team_id, m.user_id LIMIT $3 OFFSET $4", *values, page.size, page.offset
    )
    total = await connection.fetchval(f"SELECT count(*) {FROM} {WHERE}", *values)
    return [_found(row) for row in rows], total


async def write(work: Work, member: Member) -> None:
    """Makes or replaces the row; it says nothing of the account."""
    await work.connection.execute(
        UPSERT,
        member.team_id,
        member.user_id,
        member.role,
        member.budget_id,
        json.dumps(plan_json(member.limits)),
        work.now,
    )


async def delete(work: Work, members: Sequence[Found]) -> None:
    """The rows alone; see `leaving`."""
    await work.connection.executemany(DELETE, [(member.team_id, member.user_id) for member, _ in members])


def leaving(members: Sequence[Found]) -> list[PlanChange]:
    """Accounts of who leaves stay, without limits."""
    return [PlanChange(member.account_id, plan, NO_LIMITS) for member, plan in members]


async def changes_of_team(connection: asyncpg.Connection, before: Entity, after: Entity) -> list[PlanChange]:
    """What the limits mean for the members that a team gives them; its row may be written already."""
    if before.member_limits == after.member_limits:
        return []
    changes = []
    for row in await connection.fetch(f"{SELECT} {WHERE}", [after.entity_id], []):
        own, budget = (plan_from_json(json.loads(row[name] or "{}")) for name in ("limits", "budget_limits"))
        account_id = member_account(row["team_id"], row["user_id"])
        old, new = (over(own, over(budget, team.member_limits)) for team in (before, after))
        changes.append(PlanChange(account_id, old, new))
    return changes


def _found(row: asyncpg.Record) -> Found:
    own, budget, team = (
        plan_from_json(json.loads(row[name] or "{}")) for name in ("limits", "budget_limits", "member_limits")
    )
    member = Member(
        team_id=row["team_id"],
        user_id=row["user_id"],
        role=row["role"],
        budget_id=row["budget_id"],
        limits=own,
        user_email=row["user_email"],
    )
    return member, over(own, over(budget, team))
