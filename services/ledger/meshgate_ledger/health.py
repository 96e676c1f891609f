"""Tells the mesh whether this replica can decide anything: it cannot without its database."""

from collections.abc import Awaitable, Callable
from typing import Self

from meshgate_chassis.clock import Clock
from meshgate_chassis.tasks import TaskOwner
from meshgate_ledger.database import Database


class HealthWatch:
    """While entered, asks the database every `interval_s` and reports each change."""

    def __init__(
        self,
        database: Database,
        report: Callable[[bool], Awaitable[None]],
        interval_s: float,
        clock: Clock,
    ) -> None:
        self._database = database
        self._report = report
        self._interval_s = interval_s
        self._clock = clock
        self._tasks = TaskOwner("ledger-health", count_max=1)

    async def __aenter__(self) -> Self:
        self._tasks.start(self._run(), "watch")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.drain(0.0)

    async def _run(self) -> None:
        healthy = True
        while True:
            await self._clock.sleep(self._interval_s)
            ready = await self._database.is_ready()
            if ready != healthy:
                healthy = ready
                await self._report(healthy)
