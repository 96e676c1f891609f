"""Keeps what reports read: partitions of entries, made ahead of time and dropped when nobody wants them any
more, and the totals of days that are over.

Any number of replicas may do it; a lock lets one of them at a time. It waits for no lock for long, because
others would wait behind it: what does not work now works the next time.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import asyncpg
import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_ledger.database import Database
from meshgate_ledger.records import utc

ADVISORY_LOCK = 0x6D657368_70617274  # "meshpart": one replica at a time
LOCK_TIMEOUT_S = 0.5
OPEN_TIME = timedelta(days=1)  # yesterday may still be posted to, by a clock that is slow


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """`retention_s`: how long entries are kept; None: for good. Whole months go, so up to 31 days more."""

    retention_s: float | None = None
    interval_s: float = 3_600.0
    months_ahead: int = 3
    timeout_s: float = 600.0


class PartitionKeeper:
    """A task of its own while entered."""

    def __init__(self, database: Database, options: PartitionOptions, clock: Clock) -> None:
        self._database = database
        self._options = options
        self._clock = clock
        self._tasks = TaskOwner("ledger-partitions", count_max=1)
        self._log = structlog.get_logger("meshgate.ledger")

    async def __aenter__(self) -> Self:
        self._tasks.start(self._run(), "partitions")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.drain(0.0)

    async def keep(self) -> tuple[int, tuple[str, ...]]:
        """Makes what is missing and drops what is too old; returns how many it made, and the dropped.

        Raises as Database.use does. Does nothing while another replica is at it.
        """
        return await self._database.use(self._keep, limit_s=self._options.timeout_s)

    async def _keep(self, connection: asyncpg.Connection) -> tuple[int, tuple[str, ...]]:
        now = utc(self._clock.now_ns())
        made, dropped = 0, []
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {int(LOCK_TIMEOUT_S * 1_000)}")
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", ADVISORY_LOCK):
                    return 0, ()
                await connection.fetchval("SELECT ledger.total_days($1)", (now - OPEN_TIME).date())
                made = await connection.fetchval(
                    "SELECT ledger.add_entries_partitions($1, $2)", now, self._options.months_ahead
                )
                if self._options.retention_s is not None:
                    before = now - timedelta(seconds=self._options.retention_s)
                    rows = await connection.fetch("SELECT ledger.drop_entries($1, $2) AS name", before, now)
                    dropped = [row["name"] for row in rows]
        except asyncpg.LockNotAvailableError:
            self._log.info("partitions are in use, later again")
            return 0, ()
        return made, tuple(dropped)

    async def _run(self) -> None:
        while True:
            try:
                made, dropped = await self.keep()
            except MeshError as error:
                self._log.debug("partitions were not kept", error=str(error))
            except asyncpg.PostgresError as error:  # the next round may do better
                self._log.error("partitions were not kept", error=type(error).__name__, detail=str(error))
            else:
                if made or dropped:
                    self._log.info("partitions of entries", made=made, dropped=dropped)
            await self._clock.sleep(self._options.interval_s)
