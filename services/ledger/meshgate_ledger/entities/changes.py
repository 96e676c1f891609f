"""A change by management: one transaction, once for each request_id.

Changes wait for each other, in this replica and in all: that is how two of them never mix what they read, and
never lock each other out. Only one connection of the pool ever waits: reservations need the others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.database import Database
from meshgate_ledger.errors import too_slow
from meshgate_ledger.records import utc

WAITING_MAX = 1_000
CHANGE_LIMIT_S = 30.0  # of one change: a budget may be used by thousands of keys
LOCK = "SELECT pg_advisory_xact_lock(7236834)"  # any number that nothing else in this database locks

EARLIER = "SELECT action, subjects FROM ledger.changes WHERE request_id = $1"
RECORD = """
    INSERT INTO ledger.changes (request_id, action, subjects, changed_by, changed_at)
    VALUES ($1, $2, $3, $4, $5)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """Who asks for what. `action`: for example "create user"."""

    request_id: str
    action: str
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What a change works with, inside of its transaction."""

    connection: asyncpg.Connection
    now: datetime
    changed_by: str
    timezone: str


Does = Callable[[Work], Awaitable[tuple[str, ...]]]


class Changes:
    """Runs changes. Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, database: Database, clock: Clock, timezone: str = "UTC") -> None:
        self._database = database
        self._clock = clock
        self.timezone = timezone
        self._turn = asyncio.Lock()
        self._waiting_count = 0

    async def run(self, change: Change, does: Does, timeout_s: float) -> tuple[str, ...]:
        """What `does` says it was done to; of a repeat: what the first one said, and nothing is done.

        Raises ALREADY_EXISTS/REQUEST_ID_USED, RESOURCE_EXHAUSTED/QUEUE_FULL, DEADLINE_EXCEEDED.
        """
        if self._waiting_count >= WAITING_MAX:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many changes are waiting")
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        self._waiting_count += 1
        try:
            await asyncio.wait_for(self._turn.acquire(), timeout_s)
        except TimeoutError:
            raise too_slow() from None
        finally:
            self._waiting_count -= 1
        try:
            return await self._database.use(
                lambda connection: self._transaction(connection, change, does),
                end_s - loop.time(),
                CHANGE_LIMIT_S,
            )
        finally:
            self._turn.release()

    async def _transaction(
        self, connection: asyncpg.Connection, change: Change, does: Does
    ) -> tuple[str, ...]:
        async with connection.transaction():
            await connection.execute(LOCK)
            earlier = await connection.fetchrow(EARLIER, change.request_id)
            if earlier is not None:
                return _answered(earlier, change)
            now = utc(self._clock.now_ns())
            subjects = await does(Work(connection, now, change.changed_by, self.timezone))
            await connection.execute(
                RECORD, change.request_id, change.action, list(subjects), change.changed_by, now
            )
            return subjects


def _answered(earlier: asyncpg.Record, change: Change) -> tuple[str, ...]:
    if earlier["action"] != change.action:
        raise MeshError(Code.ALREADY_EXISTS, "REQUEST_ID_USED", "this request_id was used for another change")
    return tuple(earlier["subjects"])
