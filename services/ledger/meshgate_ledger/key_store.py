"""Virtual keys in PostgreSQL. The secret never comes here, only its hash.

A key that is deleted keeps its row, its account and its entries. Making a key with a hash that exists
replaces its rules and keeps its account: the same secret spends from the same money.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.database import Database
from meshgate_ledger.entities import belonging, entity_rows, key_rows
from meshgate_ledger.entities.accounts import PlanChange, Rules, apply_changes, budget_plan, usages
from meshgate_ledger.entities.changes import Change, Changes, Does, Work
from meshgate_ledger.entities.draft import Draft
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan, over
from meshgate_ledger.entities.records import EntityKind, KeyFilter, Page
from meshgate_ledger.records import KeyRecord, KeyState, key_account_id, utc

NO_DEFAULTS: belonging.Defaults = {}
# Who is blocked has no rights but those of the key.
ROLES = """
    SELECT e.entity_id, e.role FROM ledger.entities e
    LEFT JOIN ledger.accounts a ON a.account_id = 'user:' || e.entity_id
    WHERE e.kind = 'user' AND e.role <> '' AND NOT coalesce(a.blocked, false) AND e.entity_id = ANY ($1)
"""
# The provider credentials that a key's owner brought go with the key.
MOVE_CREDENTIALS = "UPDATE ledger.credentials SET account_id = $2 WHERE account_id = $1"
ALIASES = "SELECT key_alias FROM ledger.keys WHERE key_hash = ANY ($1)"


@dataclass(frozen=True, slots=True)
class DeletedKeys:
    """`hashes`: of every key deleted; `aliases`: of those that were named by alias."""

    hashes: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewSecret:
    """What takes the place of a key's secret."""

    key_hash: str
    key_name: str


Changing = Callable[[KeyRecord], KeyRecord]


class KeyStore:
    """Makes, shows, changes and deletes keys. Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL.

    `changes` is shared with the other stores of management. `defaults`: limits of users and teams that are
    made because a key names them.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        changes: Changes | None = None,
        defaults: belonging.Defaults = NO_DEFAULTS,
    ) -> None:
        self._database = database
        self._clock = clock
        self.changes = changes or Changes(database, clock)
        self.defaults = defaults

    async def create(
        self, request_id: str, key: KeyRecord, timeout_s: float, changed_by: str = ""
    ) -> KeyState:
        """Stores a key; a repeat returns it as it is.

        Raises ALREADY_EXISTS/KEY_ALIAS_TAKEN and NOT_FOUND/BUDGET_NOT_FOUND.
        """

        async def does(work: Work) -> tuple[str, ...]:
            draft = Draft(work, self.defaults)
            await draft.add_key(_with_budget(key))
            await draft.write(request_id)
            return (key.key_hash,)

        return await self._changed(Change(request_id, "create key", changed_by), does, timeout_s)

    async def update(self, change: Change, key_hash: str, changing: Changing, timeout_s: float) -> KeyState:
        """Makes of the key what `changing` makes of it.

        Raises NOT_FOUND/KEY_UNKNOWN, NOT_FOUND/BUDGET_NOT_FOUND and ALREADY_EXISTS/KEY_ALIAS_TAKEN.
        """

        async def does(work: Work) -> tuple[str, ...]:
            before, plan = await _known(work, key_hash)
            await key_rows.update(work, await self._prepared(work, _with_rules(before, changing), plan))
            return (key_hash,)

        return await self._changed(change, does, timeout_s)

    async def regenerate(
        self, change: Change, key_hash: str, secret: NewSecret, changing: Changing, timeout_s: float
    ) -> KeyState:
        """Gives a key another secret; the old one is dead at once; account, spend and credentials stay.

        The old hash keeps its row as a deleted key, for the entries that name it. Raises as `update`, and
        ALREADY_EXISTS/KEY_EXISTS when the new secret is or was another key's.
        """

        async def does(work: Work) -> tuple[str, ...]:
            before, plan = await _known(work, key_hash)
            if await key_rows.find(work.connection, secret.key_hash, with_deleted=True) is not None:
                raise MeshError(
                    Code.ALREADY_EXISTS,
                    "KEY_EXISTS",
                    "this secret is or was another key's",
                    fields={"new_key": "is taken"},
                )
            after = _with_rules(before, changing)
            after = replace(after, key_hash=secret.key_hash, key_name=secret.key_name)
            after = await self._prepared(work, after, plan)
            await key_rows.delete(work, [key_hash])
            await key_rows.insert(work, after, change.request_id)
            await work.connection.execute(
                MOVE_CREDENTIALS, key_account_id(key_hash), key_account_id(secret.key_hash)
            )
            return (secret.key_hash,)

        return await self._changed(change, does, timeout_s)

    async def get(self, key_hash: str, timeout_s: float) -> KeyState | None:
        """The key and its money; None when there is none, or it was deleted."""

        async def read(connection: asyncpg.Connection) -> KeyState | None:
            found = await key_rows.find(connection, key_hash)
            return None if found is None else (await self._states(connection, [found]))[0]

        return await self._database.use(read, timeout_s)

    async def page(self, wanted: KeyFilter, asked: Page, timeout_s: float) -> tuple[list[KeyState], int]:
        """A page, and how many keys there are on all."""

        async def read(connection: asyncpg.Connection) -> tuple[list[KeyState], int]:
            found, total = await key_rows.page_of(connection, wanted, asked)
            return await self._states(connection, found), total

        return await self._database.use(read, timeout_s)

    async def delete(
        self,
        request_id: str,
        hashes: Sequence[str],
        aliases: Sequence[str],
        timeout_s: float,
        changed_by: str = "",
    ) -> DeletedKeys:
        """Deletes keys; they stop working at once. A repeat returns what the first one deleted.

        Raises NOT_FOUND/KEY_UNKNOWN when none of them exists.
        """

        async def does(work: Work) -> tuple[str, ...]:
            found = await key_rows.find_named(work.connection, hashes, aliases)
            if not found:
                raise MeshError(Code.NOT_FOUND, "KEY_UNKNOWN", "none of these keys exists")
            await apply_changes(work, key_rows.locked(found))
            deleted = tuple(key.key_hash for key, _ in found)
            await key_rows.delete(work, deleted)
            return deleted

        deleted = await self.changes.run(Change(request_id, "delete keys", changed_by), does, timeout_s)
        rows = await self._database.use(
            lambda connection: connection.fetch(ALIASES, list(deleted)), timeout_s
        )
        names = {row["key_alias"] for row in rows}
        return DeletedKeys(deleted, tuple(alias for alias in aliases if alias in names))

    async def _prepared(self, work: Work, key: KeyRecord, before: LimitPlan) -> KeyRecord:
        """Brings the accounts in order, and makes whom the key names; its row can be written then."""
        template = await budget_plan(work.connection, key.budget_id)
        if key.team_id and not key.organization_id:
            team = await entity_rows.find(work.connection, EntityKind.TEAM, key.team_id)
            key = replace(key, organization_id="" if team is None else team[0].organization_id)
        named = {
            EntityKind.USER: key.user_id,
            EntityKind.TEAM: key.team_id,
            EntityKind.ORGANIZATION: key.organization_id,
        }
        new = await belonging.missing(work, named, self.defaults)
        own = PlanChange(key.account_id, before, over(key.limits, template), Rules())
        await apply_changes(work, [own, *belonging.accounts_of(new)])
        for entity in new:
            await entity_rows.write(work, entity)
        return key

    async def _changed(
        self,
        change: Change,
        does: Does,
        timeout_s: float,
    ) -> KeyState:
        try:
            (key_hash,) = await self.changes.run(change, does, timeout_s)
        except asyncpg.UniqueViolationError:
            raise alias_taken() from None
        state = await self.get(key_hash, timeout_s)
        if state is None:
            raise _unknown()  # a repeat, and it was deleted since
        return state

    async def _states(
        self, connection: asyncpg.Connection, found: Sequence[key_rows.Found]
    ) -> list[KeyState]:
        work = Work(connection, utc(self._clock.now_ns()), "", self.changes.timezone)
        used = await usages(work, {key.account_id: plan for key, plan in found})
        user_ids = [key.user_id for key, _ in found if key.user_id]
        roles = dict(await connection.fetch(ROLES, user_ids)) if user_ids else {}
        return [
            KeyState(
                key,
                posted_nanos=used[key.account_id].total_spend_nanos,
                held_nanos=used[key.account_id].held_nanos,
                plan=plan,
                usage=used[key.account_id],
                user_role=roles.get(key.user_id, ""),
            )
            for key, plan in found
        ]


def alias_taken() -> MeshError:
    """Of a name that only one key may have."""
    fields = {"key.key_alias": "is taken"}
    return MeshError(Code.ALREADY_EXISTS, "KEY_ALIAS_TAKEN", "a key with this alias exists", fields=fields)


def _with_rules(before: KeyRecord, changing: Changing) -> KeyRecord:
    """What a change may not touch stays, whatever it says."""
    return replace(changing(before), account_id=before.account_id, created_at=before.created_at)


def _with_budget(key: KeyRecord) -> KeyRecord:
    """`max_budget_nanos` of a key without other limits is one."""
    if key.max_budget_nanos is None or key.limits != NO_LIMITS:
        return key
    return replace(key, limits=LimitPlan(max_budget_nanos=key.max_budget_nanos))


async def _known(work: Work, key_hash: str) -> key_rows.Found:
    found = await key_rows.find(work.connection, key_hash)
    if found is None:
        raise _unknown()
    return found


def _unknown() -> MeshError:
    return MeshError(Code.NOT_FOUND, "KEY_UNKNOWN", "there is no such key")
