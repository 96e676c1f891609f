"""What the ledger does in the background goes on after an error that nobody foresaw."""

from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import SystemClock
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.postgres_store import PostgresStore, StoreOptions
from meshgate_ledger.reports.partitions import PartitionKeeper, PartitionOptions
from meshgate_ledger.sweeper import Sweeper, SweepOptions
from tests.support.eventually import eventually

INTERVAL_S = 0.02
# A sequence counts even what is rolled back.
COUNTED = """
    CREATE OR REPLACE FUNCTION ledger.{signature} LANGUAGE plpgsql AS $$ BEGIN
        PERFORM nextval('ledger.{counter}');
        {ends};
    END $$
"""
FAILS = "RAISE EXCEPTION 'in the test' USING ERRCODE = 'deadlock_detected'"


def background(name: str, database: Database) -> AbstractAsyncContextManager[object]:
    if name == "partitions":
        return PartitionKeeper(database, PartitionOptions(interval_s=INTERVAL_S), SystemClock())
    metrics = LedgerMetrics(CollectorRegistry())
    store = PostgresStore(database, StoreOptions(), SystemClock(), metrics)
    return Sweeper(store, SweepOptions(interval_s=INTERVAL_S), SystemClock(), metrics)


@pytest.mark.parametrize(
    ("name", "signature", "ends"),
    [
        (
            "sweeper",
            "free_slots(p_now timestamptz, p_since timestamptz, p_edge_id text) RETURNS bigint",
            "RETURN 0",
        ),
        ("partitions", "total_days(p_today date) RETURNS date", "RETURN NULL"),
    ],
)
async def test_it_goes_on(postgres_dsn: str, name: str, signature: str, ends: str) -> None:
    """PostgreSQL refuses a round, and does not refuse the next ones."""
    connection = await asyncpg.connect(postgres_dsn)

    async def called(counter: str) -> bool:
        return bool(await connection.fetchval(f"SELECT is_called FROM ledger.{counter}"))

    try:
        await connection.execute("CREATE SEQUENCE ledger.failed; CREATE SEQUENCE ledger.went_well")
        await connection.execute(COUNTED.format(signature=signature, counter="failed", ends=FAILS))
        async with (
            Database(postgres_dsn, DatabaseOptions(), SystemClock()) as database,
            background(name, database),
        ):
            await eventually(lambda: called("failed"), "a round that fails")
            await connection.execute(COUNTED.format(signature=signature, counter="went_well", ends=ends))
            await eventually(lambda: called("went_well"), "a round that goes well")
    finally:
        await connection.close()
