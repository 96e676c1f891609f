"""The connection to PostgreSQL: waiting for it, closing it, watching it."""

import asyncio

import asyncpg
import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.errors import MeshError
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.health import HealthWatch
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.postgres import DatabaseServer

OPTIONS = DatabaseOptions(connect_timeout_s=1.0, use_timeout_s=1.0, retry_delay_s=0.01)


async def test_the_service_may_start_before_postgresql(own_postgres_server: DatabaseServer) -> None:
    """It waits as long as it was told to."""
    await asyncio.to_thread(own_postgres_server.stop)
    async with Database(own_postgres_server.dsn, OPTIONS, SystemClock()) as database:
        waiting = asyncio.ensure_future(database.await_ready())
        assert not await database.is_ready()
        await asyncio.to_thread(own_postgres_server.start)
        await waiting
        assert await database.is_ready()


async def test_it_gives_up_in_its_own_time(own_postgres_server: DatabaseServer) -> None:
    """By the injected clock."""
    await asyncio.to_thread(own_postgres_server.stop)
    clock = ManualClock()
    options = DatabaseOptions(start_timeout_s=3.0, retry_delay_s=1.0)
    async with Database(own_postgres_server.dsn, options, clock) as database:
        with pytest.raises(MeshError, match="STORE_UNAVAILABLE"):
            await database.await_ready()
    assert [1.0] * 3 == clock.slept_s


async def test_a_wrong_argument_is_no_outage(postgres_dsn: str) -> None:
    """It is the caller's error, and the next call works."""
    async with Database(postgres_dsn, OPTIONS, ManualClock()) as database:
        with pytest.raises(asyncpg.DataError, match="invalid input"):
            await database.use(lambda connection: connection.fetch("SELECT $1::int", "x"))
        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.use(lambda connection: connection.fetch("SELECT 1 / 0"))
        assert 1 == await database.use(lambda connection: connection.fetchval("SELECT 1"))


async def test_closing_does_not_wait_for_ever(postgres_dsn: str) -> None:
    """A query that does not end is cut off."""
    database = Database(postgres_dsn, OPTIONS, ManualClock())
    await database.__aenter__()
    stuck = asyncio.ensure_future(
        database.use(lambda connection: connection.execute("SELECT pg_sleep(600)"), limit_s=600.0)
    )
    await eventually(lambda: is_sleeping(postgres_dsn), "the query runs")
    await database.__aexit__()
    with pytest.raises(MeshError, match="STORE_UNAVAILABLE"):
        await stuck


async def is_sleeping(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        )
        return bool(await connection.fetchval(query))
    finally:
        await connection.close()


async def test_the_mesh_is_told_when_it_goes_and_when_it_comes(own_postgres_server: DatabaseServer) -> None:
    """Each change once."""
    reports: list[bool] = []

    async def report(healthy: bool) -> None:
        reports.append(healthy)

    clock = SystemClock()
    async with (
        Database(own_postgres_server.dsn, OPTIONS, clock) as database,
        HealthWatch(database, report, 0.01, clock),
    ):
        await asyncio.to_thread(own_postgres_server.stop)
        await eventually(lambda: reports, "it is told that PostgreSQL went")
        await asyncio.to_thread(own_postgres_server.start)
        await eventually(lambda: len(reports) > 1, "it is told that PostgreSQL came")
    assert [False, True] == reports


async def test_connections_are_kept_for_a_while(postgres_dsn: str) -> None:
    """Uses one after another share one, at once there are as many as allowed; what is idle for long ends."""

    async def process_id(connection: asyncpg.Connection) -> int:
        return int(await connection.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.05)"))

    async def backends() -> set[int]:
        connection = await asyncpg.connect(postgres_dsn)
        try:
            rows = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'meshgate-ledger'"
            )
            return {row["pid"] for row in rows}
        finally:
            await connection.close()

    options = DatabaseOptions(connections_max=3, idle_lifetime_s=0.2)
    async with Database(postgres_dsn, options, SystemClock()) as database:
        alone = {await database.use(process_id) for _ in range(3)}
        together = set(await asyncio.gather(*(database.use(process_id) for _ in range(9))))

        async def others_ended() -> bool:
            kept = await database.use(process_id)
            return await backends() == {kept}

        assert 1 == len(alone)
        assert 3 == len(together)
        await eventually(others_ended, "what is not needed ends")


async def test_a_connection_that_ended_meanwhile_is_not_used(postgres_dsn: str) -> None:
    """Nobody is told of a backend that was ended while it was idle."""
    async with Database(postgres_dsn, OPTIONS, SystemClock()) as database:
        process_id = await database.use(lambda connection: connection.fetchval("SELECT pg_backend_pid()"))
        other = await asyncpg.connect(postgres_dsn)
        await other.execute("SELECT pg_terminate_backend($1, 5000)", process_id)
        await other.close()
        for _ in range(3):  # what the server had sent is read
            await asyncio.sleep(0)
        assert 1 == await database.use(lambda connection: connection.fetchval("SELECT 1"))
