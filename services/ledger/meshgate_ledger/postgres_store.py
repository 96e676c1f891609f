"""Holds and entries in PostgreSQL, which decides everything, in batches of whatever waits.

Reservations, endings and top-ups have a batcher each. Only endings wait for the disk: a hold that is lost
with PostgreSQL is made again by its settlement, an entry has nothing to be made again from. They wait after
their transaction has committed, when its locks are gone: see migrations/0016_close_durably.sql.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.batches import ReserveBatch, Reserved, ReserveItem, limit_from_json, run_reserve
from meshgate_ledger.closings import (
    Closed,
    CloseItem,
    CloseRow,
    Raised,
    TopUpItem,
    run_close,
    run_top_up,
)
from meshgate_ledger.database import Database
from meshgate_ledger.errors import REFUSALS, value_refused
from meshgate_ledger.group_commit import BatchRefusedError, GroupCommit, GroupLimits, Traffic
from meshgate_ledger.limits import LimitNow
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.records import utc

Results = TypeVar("Results")

ATTEMPTS = 4  # of a batch that met another one over a request


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """`durable_holds`: reservations wait for the disk as well. `timezone`: in which budgets' days begin."""

    limits: GroupLimits = field(default_factory=GroupLimits)
    durable_holds: bool = False
    timezone: str = "UTC"


class PostgresStore:
    """One replica's way to the ledger's rows. Many may work on one database."""

    def __init__(
        self, database: Database, options: StoreOptions, clock: Clock, metrics: LedgerMetrics
    ) -> None:
        self._database = database
        self._options = options
        self._clock = clock
        self._metrics = metrics
        limits = options.limits
        # One batch of endings waits for the disk while the next one is under way.
        overlapping = replace(limits, batches_max=limits.batches_max + 1)
        traffic = Traffic()
        self._reservations = GroupCommit("reserve", self._run_reserve, limits, traffic)
        self._endings = GroupCommit("settle", self._run_close, overlapping, traffic)
        self._top_ups = GroupCommit("top-up", self._run_top_up, limits)

    async def reserve(self, item: ReserveItem, timeout_s: float) -> Reserved:
        """Decides one reservation. Raises as GroupCommit.submit and Database.use do."""
        return await self._reservations.submit(item, timeout_s)

    async def close(self, item: CloseItem, timeout_s: float) -> Closed:
        """Ends one hold. Raises as `reserve` does."""
        return await self._endings.submit(item, timeout_s)

    def begin_reserve(self, item: ReserveItem, timeout_s: float) -> "asyncio.Future[Reserved]":
        """As `reserve`, for who waits for several: see GroupCommit.begin."""
        return self._reservations.begin(item, timeout_s)

    def begin_close(self, item: CloseItem, timeout_s: float) -> "asyncio.Future[Closed]":
        """As `close`, for who waits for several: see GroupCommit.begin."""
        return self._endings.begin(item, timeout_s)

    async def top_up(self, item: TopUpItem, timeout_s: float) -> Raised:
        """Raises one hold. Raises as `reserve` does."""
        return await self._top_ups.submit(item, timeout_s)

    async def join_model(self, request_id: str, model: str, timeout_s: float) -> LimitNow | None:
        """Lets an open hold count on the limits that its accounts have for another model; returns the one
        that refuses."""
        now, timezone = self._now(), self._options.timezone
        refused: str | None = await self._database.use(
            lambda connection: connection.fetchval(
                "SELECT ledger.join_model($1, $2, $3, $4)", now, timezone, request_id, model
            ),
            timeout_s,
        )
        return limit_from_json(refused)

    async def has_budget(self, request_id: str, model: str, timeout_s: float) -> bool:
        """Whether anybody whom the hold counts on has a budget, for all models or for this one."""
        found: bool = await self._database.use(
            lambda connection: connection.fetchval(
                "SELECT EXISTS (SELECT FROM ledger.holds h "
                "CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id) "
                "JOIN ledger.limits l ON l.account_id IN (x.account_id, x.account_id || '|model:' || $2) "
                "WHERE h.request_id = $1 AND l.metric = 'spend' AND l.maximum IS NOT NULL)",
                request_id,
                model,
            ),
            timeout_s,
        )
        return found

    async def resolved_model(self, request_id: str, timeout_s: float) -> str | None:
        """The model that a hold is for; None: there is no hold."""
        model: str | None = await self._database.use(
            lambda connection: connection.fetchval(
                "SELECT resolved_model FROM ledger.holds WHERE request_id = $1", request_id
            ),
            timeout_s,
        )
        return model

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
                CloseRow(
                    request_id=row["request_id"],
                    kind="expiry",
                    prompt_tokens=row["prompt_tokens"],
                    completion_tokens=row["output_tokens"],
                    model_group=row["resolved_model"],
                    outcome="unknown",
                    estimated=True,
                )
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

    async def count_open(self, timeout_s: float) -> int:
        """Holds that are open, of all replicas."""
        count: int = await self._database.use(
            lambda connection: connection.fetchval("SELECT count(*) FROM ledger.holds WHERE state = 'open'"),
            timeout_s,
        )
        return count

    async def renew_lease(self, edge_id: str, lease_s: float, timeout_s: float) -> None:
        """The edge lives until then, at least."""
        await self._database.use(
            lambda connection: connection.execute(
                "INSERT INTO ledger.edges AS e (edge_id, expires_at) VALUES ($1, $2) "
                "ON CONFLICT (edge_id) DO UPDATE "
                "SET expires_at = greatest(e.expires_at, excluded.expires_at)",
                edge_id,
                self._now() + timedelta(seconds=lease_s),
            ),
            timeout_s,
        )

    async def free_slots(self, lease_s: float, timeout_s: float, edge_id: str | None = None) -> int:
        """Gives back the slots of edges whose lease has expired, or of this one; returns how many."""
        now = self._now()
        freed: int = await self._database.use(
            lambda connection: connection.fetchval(
                "SELECT ledger.free_slots($1, $2, $3)", now, now - timedelta(seconds=lease_s), edge_id
            ),
            timeout_s,
        )
        return freed

    async def forget_edges(self, memory_s: float, timeout_s: float) -> None:
        """Deletes edges that ended long ago."""
        end = self._now() - timedelta(seconds=memory_s)
        await self._database.use(
            lambda connection: connection.execute("DELETE FROM ledger.edges WHERE expires_at <= $1", end),
            timeout_s,
        )

    async def drain(self, grace_s: float) -> None:
        """Waits for everything that was submitted."""
        await self._reservations.drain(grace_s)
        await self._top_ups.drain(grace_s)
        await self._endings.drain(grace_s)

    def _now(self) -> datetime:
        return utc(self._clock.now_ns())

    async def _run_reserve(self, items: Sequence[ReserveItem]) -> list[Reserved]:
        self._metrics.reserve_batch_items.observe(len(items))
        batch = ReserveBatch(self._now(), self._options.durable_holds, self._options.timezone)
        return await self._run(lambda connection: run_reserve(connection, batch, items))

    async def _run_close(self, items: Sequence[CloseItem]) -> list[Closed]:
        self._metrics.settle_batch_items.observe(len(items))
        now, timezone = self._now(), self._options.timezone
        return await self._run(lambda connection: run_close(connection, now, timezone, items))

    async def _run_top_up(self, items: Sequence[TopUpItem]) -> list[Raised]:
        now, timezone = self._now(), self._options.timezone
        return await self._run(lambda connection: run_top_up(connection, now, timezone, items))

    async def _run(self, work: Callable[[asyncpg.Connection], Awaitable[Results]]) -> Results:
        """Runs a batch; again when somebody else decided one of its requests meanwhile, or was preferred."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._database.use(work)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                if attempt == ATTEMPTS:
                    raise MeshError(
                        Code.ABORTED,
                        "REQUEST_CHANGING",
                        "the request is being decided elsewhere",
                        retry_after_s=0.1,
                    ) from None
            except REFUSALS as error:
                raise BatchRefusedError(value_refused(error)) from error
        raise AssertionError
