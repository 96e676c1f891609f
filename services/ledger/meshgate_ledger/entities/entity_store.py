"""Users, teams, organisations, customers, tags and budgets in PostgreSQL."""

from collections.abc import Callable, Sequence

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_ledger.database import Database
from meshgate_ledger.entities import entity_rows, member_rows, removal
from meshgate_ledger.entities.accounts import (
    PlanChange,
    Rules,
    apply_changes,
    budget_plan,
    changes_of_budget,
    usages,
)
from meshgate_ledger.entities.belonging import Defaults
from meshgate_ledger.entities.changes import Change, Changes, Work
from meshgate_ledger.entities.draft import Draft, not_found
from meshgate_ledger.entities.plan import LimitPlan, over
from meshgate_ledger.entities.records import Entity, EntityFilter, EntityKind, EntityState, Page
from meshgate_ledger.records import utc

# Keys that were made within a team belong to its organisation.
MOVE_KEYS = """
    UPDATE ledger.keys SET organization_id = $3
    WHERE team_id = $1 AND organization_id = $2 AND deleted_at IS NULL
"""

Changing = Callable[[Entity], Entity]


class EntityStore:
    """Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, database: Database, clock: Clock, changes: Changes, defaults: Defaults) -> None:
        self._database = database
        self._clock = clock
        self._changes = changes
        self._defaults = defaults

    async def create(self, change: Change, entity: Entity, timeout_s: float) -> EntityState:
        """Raises ALREADY_EXISTS/ENTITY_EXISTS, NOT_FOUND/BUDGET_NOT_FOUND."""

        async def does(work: Work) -> tuple[str, ...]:
            draft = Draft(work, self._defaults)
            await draft.add_entity(entity)
            await draft.write(change.request_id)
            return (entity.entity_id,)

        await self._changes.run(change, does, timeout_s)
        return await self.get(entity.kind, entity.entity_id, timeout_s)

    async def get(self, kind: EntityKind, entity_id: str, timeout_s: float) -> EntityState:
        """Raises NOT_FOUND/ENTITY_NOT_FOUND."""

        async def read(connection: asyncpg.Connection) -> EntityState:
            found = await entity_rows.find(connection, kind, entity_id)
            if found is None:
                raise not_found(kind, entity_id)
            (state,) = await self._states(connection, [found])
            return state

        return await self._database.use(read, timeout_s)

    async def page(
        self, wanted: EntityFilter, asked: Page, timeout_s: float
    ) -> tuple[Sequence[EntityState], int]:
        """A page, and how many entities there are on all."""

        async def read(connection: asyncpg.Connection) -> tuple[Sequence[EntityState], int]:
            found, total = await entity_rows.page_of(connection, wanted, asked)
            return await self._states(connection, found), total

        return await self._database.use(read, timeout_s)

    async def update(
        self,
        change: Change,
        asked: Entity,
        changing: Changing,
        timeout_s: float,
        *,
        allow_missing: bool = False,
    ) -> EntityState:
        """Makes of the entity what `changing` makes of it. `asked` says which it is.

        Raises NOT_FOUND/ENTITY_NOT_FOUND and NOT_FOUND/BUDGET_NOT_FOUND.
        """

        async def does(work: Work) -> tuple[str, ...]:
            found = await entity_rows.find(work.connection, asked.kind, asked.entity_id)
            if found is not None:
                before, plan = found
                await _change(work, before, plan, changing(before))
            elif allow_missing:
                draft = Draft(work, self._defaults)
                await draft.add_entity(changing(Entity(asked.kind, asked.entity_id)))
                await draft.write(change.request_id)
            else:
                raise not_found(asked.kind, asked.entity_id)
            return (asked.entity_id,)

        await self._changes.run(change, does, timeout_s)
        return await self.get(asked.kind, asked.entity_id, timeout_s)

    async def delete(
        self, change: Change, kind: EntityKind, entity_ids: Sequence[str], timeout_s: float
    ) -> tuple[str, ...]:
        """Those that were there. Raises NOT_FOUND/ENTITY_NOT_FOUND when none of them was."""

        async def does(work: Work) -> tuple[str, ...]:
            found = [
                each
                for entity_id in dict.fromkeys(entity_ids)
                if (each := await entity_rows.find(work.connection, kind, entity_id)) is not None
            ]
            if not found:
                raise not_found(kind, ", ".join(entity_ids[:10]))
            await removal.remove(work, found)
            return tuple(entity.entity_id for entity, _ in found)

        return await self._changes.run(change, does, timeout_s)

    async def _states(
        self, connection: asyncpg.Connection, found: Sequence[entity_rows.Found]
    ) -> list[EntityState]:
        work = Work(connection, utc(self._clock.now_ns()), "", self._changes.timezone)
        used = await usages(work, {entity.account_id: plan for entity, plan in found})
        return [EntityState(entity, plan, used[entity.account_id]) for entity, plan in found]


async def _change(work: Work, before: Entity, plan_before: LimitPlan, after: Entity) -> None:
    template = await budget_plan(work.connection, after.budget_id)
    changes = []
    if after.kind is EntityKind.BUDGET:
        await entity_rows.lock(work.connection, after.kind, after.entity_id)  # nobody begins to use it now
        changes = await changes_of_budget(work.connection, after.entity_id, before.limits, after.limits)
    else:
        plan = over(after.limits, template)
        rules = Rules(after.blocked, after.models)
        touched = before.rules != after.rules
        changes = [PlanChange(after.account_id, plan_before, plan, rules, touched)]
    if after.kind is EntityKind.TEAM:
        changes += await member_rows.changes_of_team(work.connection, before, after)
    await apply_changes(work, changes)
    await entity_rows.write(work, after)
    if after.kind is EntityKind.TEAM and before.organization_id != after.organization_id:
        await work.connection.execute(
            MOVE_KEYS, after.entity_id, before.organization_id, after.organization_id
        )
