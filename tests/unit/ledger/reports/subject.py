"""Reports under test: postings to report on, and the servicer that reports them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg

from meshgate_chassis.clock import SystemClock
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.reports.reader import ReportLimits, ReportReader
from meshgate_ledger.reports.servicer import ReportParts, ReportServicer
from meshgate_ledger.verify import verify
from tests.unit.ledger.subject import DEPLOYMENTS, key_hash, policy

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

# A posting with nothing in it.
EMPTY: Mapping[str, Any] = {
    "kind": "charge",
    "leg": 0,
    "amount_nanos": 0,
    "balance_nanos": 0,
    "input_nanos": 0,
    "cached_input_nanos": 0,
    "cache_creation_nanos": 0,
    "output_nanos": 0,
    "reasoning_nanos": 0,
    "corrected_nanos": 0,
    "held_nanos": 0,
    "saved_nanos": 0,
    "estimated": False,
    "price": None,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cached_tokens": 0,
    "cache_creation_tokens": 0,
    "reasoning_tokens": 0,
    "outcome": "success",
    "error_reason": "",
    "user_id": "",
    "team_id": "",
    "end_user": "",
    "tags": [],
    "scopes": [],
    "model": "gpt",
    "model_group": "gpt",
    "deployment_id": "d",
    "provider": "openai",
    "upstream_model": "gpt-4o",
    "cache_key": "",
    "start_time": None,
    "end_time": None,
    "response_id": "",
}


@dataclass(slots=True)
class Books:
    """Posts as the ledger does: the entry, and the balances of every account that it counts on."""

    connection: asyncpg.Connection
    balances: dict[str, int] = field(default_factory=dict)

    async def post(self, request_id: str, key: int = 1, at: datetime = NOON, **members: Any) -> None:
        """One posting of key `key`; its amount is all input unless `corrected_nanos` says else."""
        await self.post_all([{"request_id": request_id, "key": key, "at": at, **members}])

    async def post_all(self, postings: Sequence[Mapping[str, Any]]) -> None:
        """Several in one statement, as a batch of settlements is."""
        rows = [await self._row(dict(posting)) for posting in postings]
        columns = list(rows[0])
        names = ", ".join(columns)
        marks = ", ".join(
            f"({', '.join(f'${1 + place * len(columns) + i}' for i in range(len(columns)))})"
            for place in range(len(rows))
        )
        values = [value for row in rows for value in row.values()]
        await self.connection.execute(f"INSERT INTO ledger.entries ({names}) VALUES {marks}", *values)

    async def _row(self, posting: dict[str, Any]) -> dict[str, Any]:
        hashed = key_hash(posting.pop("key", 1))
        account_id = posting.pop("account_id", f"key:{hashed}")
        row = {**EMPTY, "account_id": account_id, "key_hash": hashed, "created_at": posting.pop("at", NOON)}
        row |= posting
        row["input_nanos"] = row["amount_nanos"] + row["corrected_nanos"]
        for each in (account_id, *row["scopes"]):
            self.balances[each] = self.balances.get(each, 0) + row["amount_nanos"]
            kind = each.partition(":")[0]
            await self.connection.execute(
                "INSERT INTO ledger.accounts (account_id, kind, posted_nanos) VALUES ($1, $2, $3) "
                "ON CONFLICT (account_id) DO UPDATE SET posted_nanos = $3",
                each,
                kind,
                self.balances[each],
            )
        row["balance_nanos"] = self.balances[account_id]
        return row

    async def assert_right(self) -> None:
        """Everything adds up, the daily sums too."""
        assert () == (await verify(self.connection)).differences


@asynccontextmanager
async def open_books(dsn: str) -> AsyncIterator[Books]:
    """Empty books."""
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        yield Books(connection)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Implements meshgate_protos.rpc.Call."""

    time_s: float = 20.0
    caller: str = "edge"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def remaining_s(self) -> float:
        return self.time_s


CALL = Waiting()


@asynccontextmanager
async def open_reports(dsn: str, limits: ReportLimits | None = None) -> AsyncIterator[ReportServicer]:
    """A replica's reports."""
    clock = SystemClock()
    prices = policy(DEPLOYMENTS).prices
    async with Database(dsn, DatabaseOptions(connections_max=3), clock) as database:
        reader = ReportReader(database, limits or ReportLimits())
        yield ReportServicer(ReportParts(reader, database, prices, clock))
