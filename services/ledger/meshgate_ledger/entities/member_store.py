"""Members of teams in PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.database import Database
from meshgate_ledger.entities import belonging, entity_rows, member_rows
from meshgate_ledger.entities.accounts import PlanChange, Rules, apply_changes, budget_plan, usages
from meshgate_ledger.entities.belonging import Defaults
from meshgate_ledger.entities.changes import Change, Changes, Work
from meshgate_ledger.entities.draft import not_found
from meshgate_ledger.entities.plan import NO_LIMITS, over
from meshgate_ledger.entities.records import Entity, EntityKind, Member, MemberState, Page
from meshgate_ledger.records import utc

Changing = Callable[[Member], Member]


class MemberStore:
    """Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, database: Database, clock: Clock, changes: Changes, defaults: Defaults) -> None:
        self._database = database
        self._clock = clock
        self._changes = changes
        self._defaults = defaults

    async def put(
        self,
        change: Change,
        team_id: str,
        changing: Mapping[str, Changing],
        timeout_s: float,
        *,
        must_exist: bool = False,
    ) -> list[MemberState]:
        """Makes of each user's membership what their function makes of it, of a new one to begin with.

        Raises NOT_FOUND/ENTITY_NOT_FOUND (the team), /MEMBER_NOT_FOUND (with `must_exist`),
        /BUDGET_NOT_FOUND.
        """

        async def does(work: Work) -> tuple[str, ...]:
            team = await entity_rows.find(work.connection, EntityKind.TEAM, team_id)
            if team is None:
                raise not_found(EntityKind.TEAM, team_id)
            found = await member_rows.find_all(work.connection, [team_id], list(changing))
            known = {member.user_id: (member, plan) for member, plan in found}
            changes, members, users = [], [], []
            for user_id, change_one in changing.items():
                if must_exist and user_id not in known:
                    raise _no_member(team_id, user_id)
                before, plan = known.get(user_id, (Member(team_id, user_id), NO_LIMITS))
                after = change_one(before)
                template = over(await budget_plan(work.connection, after.budget_id), team[0].member_limits)
                changes.append(PlanChange(after.account_id, plan, over(after.limits, template), Rules()))
                members.append(after)
                new = await belonging.missing(work, {EntityKind.USER: user_id}, self._defaults)
                users += [replace(user, email=after.user_email) for user in new]
            await self._write(work, members, users, changes)
            return tuple(changing)

        await self._changes.run(change, does, timeout_s)
        states, _ = await self.page([team_id], list(changing), Page(size=len(changing)), timeout_s)
        return states

    async def remove(
        self, change: Change, team_id: str, user_ids: Sequence[str], timeout_s: float
    ) -> tuple[str, ...]:
        """Those that were members. Raises NOT_FOUND/MEMBER_NOT_FOUND when none of them was."""

        async def does(work: Work) -> tuple[str, ...]:
            found = await member_rows.find_all(work.connection, [team_id], user_ids)
            if not found:
                raise _no_member(team_id, ", ".join(user_ids[:10]))
            await apply_changes(work, member_rows.leaving(found))
            await member_rows.delete(work, found)
            return tuple(member.user_id for member, _ in found)

        return await self._changes.run(change, does, timeout_s)

    async def page(
        self, team_ids: Sequence[str], user_ids: Sequence[str], asked: Page, timeout_s: float
    ) -> tuple[list[MemberState], int]:
        """Of any of the teams and any of the users; none named: of all."""

        async def read(connection: asyncpg.Connection) -> tuple[list[MemberState], int]:
            found, total = await member_rows.page_of(connection, team_ids, user_ids, asked)
            work = Work(connection, utc(self._clock.now_ns()), "", self._changes.timezone)
            used = await usages(work, {member.account_id: plan for member, plan in found})
            return [MemberState(member, plan, used[member.account_id]) for member, plan in found], total

        return await self._database.use(read, timeout_s)

    async def _write(
        self, work: Work, members: Sequence[Member], users: list[Entity], changes: Sequence[PlanChange]
    ) -> None:
        await apply_changes(work, [*changes, *belonging.accounts_of(users)])
        for user in users:
            await entity_rows.write(work, user)
        for member in members:
            await member_rows.write(work, member)


def _no_member(team_id: str, user_id: str) -> MeshError:
    return MeshError(Code.NOT_FOUND, "MEMBER_NOT_FOUND", f"{user_id!r} is no member of the team {team_id!r}")
