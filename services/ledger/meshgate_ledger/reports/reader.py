"""Runs reports beside the ledger's work without being in its way.

Invariants: reports have connections of their own, a few; one that takes too long is ended by PostgreSQL and
refused as too large, which says nothing about PostgreSQL's health; no more than `waiting_max` wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.database import Database

T = TypeVar("T")

TIMEOUT_MARGIN_S = 0.25  # PostgreSQL ends a report this much before its caller gives up
TIMEOUT_MIN_S = 0.05


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """`query_s`: the longest that a statement may take, whatever time its caller has."""

    query_s: float = 4.0
    at_once_max: int = 2
    waiting_max: int = 64


class _Cancelled:
    """In place of a result: PostgreSQL ended the statement."""


class ReportReader:
    """Reads with bounded time and bounded concurrency."""

    def __init__(self, database: Database, limits: ReportLimits) -> None:
        self._database = database
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.at_once_max)
        self._waiting = 0

    async def read(self, work: Callable[[asyncpg.Connection], Awaitable[T]], timeout_s: float) -> T:
        """What `work` reads in one read-only transaction.

        Raises RESOURCE_EXHAUSTED/REPORT_TOO_LARGE, /QUEUE_FULL, and as Database.use does.
        """
        if self._waiting >= self._limits.waiting_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many reports are waiting", retry_after_s=1.0
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                return await self._read(work, timeout_s)
        except TimeoutError:
            raise _too_large() from None
        finally:
            self._waiting -= 1

    async def _read(self, work: Callable[[asyncpg.Connection], Awaitable[T]], timeout_s: float) -> T:
        query_s = max(TIMEOUT_MIN_S, min(self._limits.query_s, timeout_s - TIMEOUT_MARGIN_S))

        async def in_transaction(connection: asyncpg.Connection) -> T | type[_Cancelled]:
            # One round trip; parallel workers and the compiler cost more than they bring at this size.
            await connection.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                f"SET LOCAL statement_timeout = {int(query_s * 1_000)}; "
                "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; "
                "SET LOCAL work_mem = '32MB'"
            )
            try:
                return await work(connection)
            except asyncpg.QueryCanceledError:
                return _Cancelled
            finally:
                await connection.execute("ROLLBACK")

        result: Any = await self._database.use(in_transaction, limit_s=query_s + 1.0)
        if result is _Cancelled:
            raise _too_large()
        read: T = result
        return read


def _too_large() -> MeshError:
    return MeshError(
        Code.RESOURCE_EXHAUSTED,
        "REPORT_TOO_LARGE",
        "the report takes too long: ask for a shorter time, or narrow the filter",
    )
