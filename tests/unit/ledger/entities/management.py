"""Management on a real database, at a time of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg

from meshgate_ledger.account_store import read_limits
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.entities.changes import Change, Changes
from meshgate_ledger.entities.entity_store import EntityStore
from meshgate_ledger.entities.member_store import MemberStore
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.entities.records import EntityKind
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.records import utc
from tests.support.clock import ManualClock

TIMEOUT_S = 20.0
DEFAULTS: Mapping[EntityKind, LimitPlan] = {EntityKind.USER: LimitPlan(max_budget_nanos=77)}


def change(action: str = "test") -> Change:
    """One that nobody made before."""
    return Change(uuid4().hex, action, "tester")


@dataclass
class Management:
    """The stores of one replica, and what they leave in the database."""

    database: Database
    clock: ManualClock
    keys: KeyStore
    entities: EntityStore
    members: MemberStore

    async def limits(self, account_id: str) -> dict[tuple[str, str], int | None]:
        """The account's limits by metric and period."""

        async def read(connection: asyncpg.Connection) -> dict[tuple[str, str], int | None]:
            found = await read_limits(connection, [account_id], utc(self.clock.now_ns()))
            uses = found.get(account_id, ())
            return {(use.spec.metric, use.spec.period): use.spec.maximum for use in uses}

        return await self.database.use(read)

    async def account(self, account_id: str) -> asyncpg.Record | None:
        return await self.database.use(
            lambda connection: connection.fetchrow(
                "SELECT * FROM ledger.accounts WHERE account_id = $1", account_id
            )
        )

    async def spend(self, account_id: str, nanos: int) -> None:
        """As if calls had been posted."""
        await self.database.use(
            lambda connection: connection.execute(
                "UPDATE ledger.accounts SET posted_nanos = posted_nanos + $2 WHERE account_id = $1",
                account_id,
                nanos,
            )
        )


@asynccontextmanager
async def management(
    dsn: str, defaults: Mapping[EntityKind, LimitPlan] | None = None
) -> AsyncIterator[Management]:
    clock = ManualClock()
    async with Database(dsn, DatabaseOptions(), clock) as database:
        changes = Changes(database, clock)
        yield Management(
            database,
            clock,
            KeyStore(database, clock, changes, defaults or {}),
            EntityStore(database, clock, changes, defaults or {}),
            MemberStore(database, clock, changes, defaults or {}),
        )
