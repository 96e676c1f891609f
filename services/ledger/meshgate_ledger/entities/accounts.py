"""Accounts follow what is managed: plans become limits, rules become those of the account.

Functions to be called inside of a change.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.account_store import (
    lock_accounts,
    read_accounts,
    read_limits,
    set_all_limits,
    upsert_account,
)
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan, account_limits, over, plan_from_json
from meshgate_ledger.entities.records import Usage
from meshgate_ledger.limits import LimitSpec, LimitUse

BUDGET = "SELECT limits FROM ledger.entities WHERE kind = 'budget' AND entity_id = $1"

# Whoever uses a budget, with what their team gives its members.
USERS_OF_BUDGET = """
    SELECT kind || ':' || entity_id AS account_id, limits, '{}'::jsonb AS team_limits
    FROM ledger.entities WHERE budget_id = $1
    UNION ALL
    SELECT account_id, limits, '{}'::jsonb FROM ledger.keys WHERE budget_id = $1 AND deleted_at IS NULL
    UNION ALL
    SELECT 'member:' || m.team_id || '/' || m.user_id, m.limits, coalesce(t.member_limits, '{}'::jsonb)
    FROM ledger.team_members m
    LEFT JOIN ledger.entities t ON t.kind = 'team' AND t.entity_id = m.team_id
    WHERE m.budget_id = $1
"""

# What a team says besides is read with its account, and remembered by the account's version.
TOUCH_ACCOUNTS = "UPDATE ledger.accounts SET version = version WHERE account_id = ANY ($1)"

# A remembered key may know its budget.
TOUCH_KEYS = "UPDATE ledger.keys SET updated_at = updated_at WHERE account_id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Rules:
    """What an account says besides its limits."""

    blocked: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanChange:
    """Another plan for an account.

    `rules`: the account is made if need be; None: it exists, and its rules stay. `touched`: whoever remembers
    it has to read it again, whatever else changes.
    """

    account_id: str
    before: LimitPlan
    after: LimitPlan
    rules: Rules | None = None
    touched: bool = False


async def apply_changes(work: Work, changes: Sequence[PlanChange]) -> None:
    """Makes accounts and their limits what the changes say.

    Once in a transaction, before rows of keys are written: the ledger's order of locks.
    """
    steps = sorted(_steps(changes), key=lambda step: step[0])
    own = [change.account_id for change in changes]
    await lock_accounts(work.connection, [*own, *(account_id for account_id, _, _ in steps)])
    for account_id, rules, _ in steps:
        if rules is not None:
            await upsert_account(work.connection, account_id, blocked=rules.blocked, models=rules.models)
    wanted = {account_id: limits for account_id, _, limits in steps}
    await set_all_limits(work.connection, wanted, work.now, work.timezone)
    touched = [change.account_id for change in changes if change.touched]
    if touched:
        await work.connection.execute(TOUCH_ACCOUNTS, touched)
    await work.connection.execute(TOUCH_KEYS, own)


def _steps(changes: Sequence[PlanChange]) -> list[tuple[str, Rules | None, tuple[LimitSpec, ...]]]:
    steps = []
    for change in changes:
        before = account_limits(change.account_id, change.before)
        after = account_limits(change.account_id, change.after)
        for account_id in {*before, *after}:
            is_own = account_id == change.account_id
            rules = change.rules if is_own else (Rules() if account_id in after else None)
            if rules is None and before.get(account_id) == after.get(account_id):
                continue
            steps.append((account_id, rules, after.get(account_id, ())))
    return steps


async def budget_plan(connection: asyncpg.Connection, budget_id: str) -> LimitPlan:
    """The limits of a budget. Raises NOT_FOUND/BUDGET_NOT_FOUND."""
    if not budget_id:
        return NO_LIMITS
    stored = await connection.fetchval(BUDGET, budget_id)
    if stored is None:
        raise MeshError(
            Code.NOT_FOUND,
            "BUDGET_NOT_FOUND",
            f"there is no budget {budget_id!r}",
            fields={"budget_id": "is not known"},
        )
    return plan_from_json(json.loads(stored))


async def changes_of_budget(
    connection: asyncpg.Connection, budget_id: str, before: LimitPlan, after: LimitPlan
) -> list[PlanChange]:
    """What another plan of a budget means for everybody who uses it."""
    changes = []
    for row in await connection.fetch(USERS_OF_BUDGET, budget_id):
        own, team = (plan_from_json(json.loads(row[name])) for name in ("limits", "team_limits"))
        changes.append(
            PlanChange(row["account_id"], over(own, over(before, team)), over(own, over(after, team)))
        )
    return changes


async def usages(work: Work, plans: Mapping[str, LimitPlan]) -> dict[str, Usage]:
    """What the accounts have used, by their ids; zero for an account that does not exist."""
    parts = {account_id: account_limits(account_id, plan) for account_id, plan in plans.items()}
    every_id = [each for part in parts.values() for each in part]
    states = await read_accounts(work.connection, every_id)
    limits = await read_limits(work.connection, every_id, work.now, work.timezone)
    found = {}
    for account_id, plan in plans.items():
        state = states.get(account_id)
        posted = 0 if state is None else state.posted_nanos
        main = _main_budget(limits.get(account_id, ()), plan.budget_period)
        found[account_id] = Usage(
            spend_nanos=posted if main is None else main.used,
            total_spend_nanos=posted,
            held_nanos=0 if state is None else state.pending_nanos,
            budget_reset_at=None if main is None else main.ends_at,
            model_spend_nanos={
                each.rpartition("|model:")[2]: states[each].posted_nanos
                for each in parts[account_id]
                if each != account_id and each in states
            },
        )
    return found


def _main_budget(limits: Sequence[LimitUse], period: str) -> LimitUse | None:
    for use in limits:
        if use.spec.metric == "spend" and use.spec.period == period:
            return use
    return None
