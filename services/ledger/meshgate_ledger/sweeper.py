"""Ends what nobody ended: holds whose time is over are charged as they were estimated, and flagged.

Also forgets holds that ended long ago (their entries stay for good). Any number of replicas may sweep at
the same time: ending a hold twice changes nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.postgres_store import PostgresStore


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """`hold_memory_s`: how long after its hold's expiry a request_id is remembered for repeats."""

    interval_s: float = 5.0
    holds_max: int = 200  # in one round trip
    timeout_s: float = 10.0
    hold_memory_s: float = 7 * 86_400.0


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

    async def forget(self) -> int:
        """Forgets every hold that ended long enough ago; returns how many. Raises MeshError."""
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
                charged = await self.sweep()
                await self.forget()
            except MeshError as error:
                # The database says once that it is away; everything else comes again with the next round.
                self._log.debug("sweep failed", error=str(error))
                continue
            if charged:
                self._log.warning("holds expired and were charged as estimated", count=charged)
