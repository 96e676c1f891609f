"""Holds and entries in PostgreSQL, which decides everything, in batches of whatever waits.

Reservations and endings have a batcher each, because only the latter wait for the disk: a hold that is lost
with PostgreSQL is made again by its settlement, an entry has nothing to be made again from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.batches import Closed, CloseItem, Reserved, ReserveItem, run_close, run_reserve
from meshgate_ledger.database import Database
from meshgate_ledger.group_commit import BatchRefusedError, GroupCommit, GroupLimits
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.records import utc


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """`durable_holds`: reservations wait for the disk as well."""

    limits: GroupLimits = field(default_factory=GroupLimits)
    durable_holds: bool = False


class PostgresStore:
    """One replica's way to the ledger's rows. Many may work on one database."""

    def __init__(
        self, database: Database, options: StoreOptions, clock: Clock, metrics: LedgerMetrics
    ) -> None:
        self._database = database
        self._durable_holds = options.durable_holds
        self._clock = clock
        self._metrics = metrics
        self._reservations = GroupCommit("reserve", self._run_reserve, options.limits)
        self._endings = GroupCommit("settle", self._run_close, options.limits)

    async def reserve(self, item: ReserveItem, timeout_s: float) -> Reserved:
        """Decides one reservation. Raises as GroupCommit.submit and Database.use do."""
        return await self._reservations.submit(item, timeout_s)

    async def close(self, item: CloseItem, timeout_s: float) -> Closed:
        """Ends one hold. Raises as `reserve` does."""
        return await self._endings.submit(item, timeout_s)

    async def due_holds(self, count_max: int, timeout_s: float) -> list[CloseItem]:
        """Open holds whose time is over, the longest overdue first, as the expiries they ask for."""
        rows = await self._database.use(
            lambda connection: connection.fetch(
                "SELECT request_id, prompt_tokens, output_tokens, resolved_model FROM ledger.holds "
                "WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
                self._now(),
                count_max,
            ),
            timeout_s,
        )
        return [
            CloseItem(
                request_id=row["request_id"],
                kind="expiry",
                prompt_tokens=row["prompt_tokens"],
                completion_tokens=row["output_tokens"],
                model_group=row["resolved_model"],
                outcome="unknown",
                estimated=True,
            )
            for row in rows
        ]

    async def forget_holds(self, memory_s: float, count_max: int, timeout_s: float) -> int:
        """Deletes holds that ended `memory_s` ago or more; returns how many. Their entries stay."""
        deleted: str = await self._database.use(
            lambda connection: connection.execute(
                "DELETE FROM ledger.holds WHERE request_id = ANY (ARRAY("
                "SELECT request_id FROM ledger.holds WHERE state <> 'open' AND expires_at <= $1 "
                "ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
                self._now() - timedelta(seconds=memory_s),
                count_max,
            ),
            timeout_s,
        )
        return int(deleted.rpartition(" ")[2])

    async def drain(self, grace_s: float) -> None:
        """Waits for everything that was submitted."""
        await self._reservations.drain(grace_s)
        await self._endings.drain(grace_s)

    def _now(self) -> datetime:
        return utc(self._clock.now_ns())

    async def _run_reserve(self, items: Sequence[ReserveItem]) -> list[Reserved]:
        self._metrics.reserve_batch_items.observe(len(items))
        try:
            return await self._database.use(
                lambda connection: run_reserve(connection, self._now(), self._durable_holds, items)
            )
        except REFUSALS as error:
            raise _refused(error) from error

    async def _run_close(self, items: Sequence[CloseItem]) -> list[Closed]:
        self._metrics.settle_batch_items.observe(len(items))
        try:
            return await self._database.use(lambda connection: run_close(connection, self._now(), items))
        except REFUSALS as error:
            raise _refused(error) from error


# What PostgreSQL or asyncpg say about a value that the checks before did not catch.
REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


def _refused(error: asyncpg.PostgresError) -> BatchRefusedError:
    return BatchRefusedError(
        MeshError(
            Code.INVALID_ARGUMENT,
            "FIELD_INVALID",
            f"the database refuses a value of this request ({type(error).__name__})",
        )
    )
