"""Ends what nobody ended: holds whose time is over are charged as they were estimated, and flagged.

Also gives back the slots of edges whose lease has expired, and forgets holds that ended long ago (their
entries stay for good). Any number of replicas may sweep at once: ending a hold twice changes nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

import asyncpg
import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.postgres_store import PostgresStore

LEASE_S = 6.0  # edges renew at a third of it


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """`hold_memory_s`: how long after its hold's expiry a request_id is remembered for repeats."""

    interval_s: float = 1.0
    holds_max: int = 200  # in one round trip
    timeout_s: float = 10.0
    hold_memory_s: float = 7 * 86_400.0
    lease_s: float = LEASE_S
    edge_memory_s: float = 3_600.0


class Sweeper:
    """A task of its own while entered."""

    def __init__(
        self, store: PostgresStore, options: SweepOptions, clock: Clock, metrics: LedgerMetrics
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._tasks = TaskOwner("ledger-sweeper", count_max=1)
        self._log = structlog.get_logger("meshgate.ledger")

    async def __aenter__(self) -> Self:
        self._tasks.start(self._run(), "sweep")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.drain(0.0)

    async def sweep(self) -> int:
        """Charges every hold that is due now; returns how many it charged. Raises MeshError."""
        charged = 0
        while True:
            due = await self._store.due_holds(self._options.holds_max, self._options.timeout_s)
            closed = await asyncio.gather(*(self._store.close(item, self._options.timeout_s) for item in due))
            expired = sum(each.state == "expired" for each in closed)
            self._metrics.expired_holds.inc(expired)
            charged += expired
            if len(due) < self._options.holds_max or expired == 0:
                return charged

    async def free_slots(self) -> int:
        """Takes slots back from edges that are gone; returns how many. Raises MeshError."""
        freed = await self._store.free_slots(self._options.lease_s, self._options.timeout_s)
        self._metrics.freed_slots.inc(freed)
        return freed

    async def forget(self) -> int:
        """Forgets every hold that ended long enough ago; returns how many. Raises MeshError."""
        await self._store.forget_edges(self._options.edge_memory_s, self._options.timeout_s)
        forgotten = 0
        while True:
            count = await self._store.forget_holds(
                self._options.hold_memory_s, self._options.holds_max, self._options.timeout_s
            )
            forgotten += count
            if count < self._options.holds_max:
                return forgotten

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._options.interval_s)
            try:
                freed = await self.free_slots()
                charged = await self.sweep()
                self._metrics.open_holds.set(await self._store.count_open(self._options.timeout_s))
                await self.forget()
            except MeshError as error:
                # The database says once that it is away; everything else comes again with the next round.
                self._log.debug("sweep failed", error=str(error))
                continue
            except asyncpg.PostgresError as error:  # one round's, whatever it is: holds have to end
                self._log.error("sweep failed", error=type(error).__name__, detail=str(error))
                continue
            if freed:
                self._log.warning("an edge is gone, its slots are free", count=freed)
            if charged:
                self._log.warning("holds expired and were charged as estimated", count=charged)
