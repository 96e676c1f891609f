"""What a ledger that hangs, or gives up, leaves behind at PostgreSQL: nothing that others wait for."""

import asyncio

import asyncpg
import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.errors import MeshError
from meshgate_ledger.database import Database, DatabaseOptions
from tests.support.eventually import eventually

ROW = "INSERT INTO ledger.accounts (account_id, kind) VALUES ('key:x', 'key') ON CONFLICT DO NOTHING"
UPDATE = "UPDATE ledger.accounts SET version = version WHERE account_id = 'key:x'"
USES = 12


async def session_count(dsn: str) -> int:
    """Of the ledger's, at PostgreSQL."""
    connection = await asyncpg.connect(dsn)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'meshgate-ledger%'"
        )
        return count
    finally:
        await connection.close()


async def test_a_transaction_whose_ledger_hangs_ends(postgres_dsn: str) -> None:
    """Its locks are another replica's within the limit: PostgreSQL itself ends the session."""
    locked = asyncio.Event()

    async def hang(connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            await connection.execute(UPDATE)
            locked.set()
            await asyncio.Event().wait()

    options = DatabaseOptions(idle_in_transaction_s=0.5)
    async with (
        Database(postgres_dsn, options, SystemClock()) as hanging,
        Database(postgres_dsn, options, SystemClock()) as other,
    ):
        await other.use(lambda connection: connection.execute(ROW))
        stuck = asyncio.ensure_future(hanging.use(hang, limit_s=600.0))
        await locked.wait()
        assert "UPDATE 1" == await other.use(lambda connection: connection.execute(UPDATE), limit_s=60.0)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)


async def test_who_gives_up_waiting_for_a_lock_leaves_no_session(postgres_dsn: str) -> None:
    """Else a lock that is held for long, by whomever, uses up the connections of everybody."""
    options = DatabaseOptions(connect_timeout_s=5.0, use_timeout_s=0.2, retry_delay_s=0.0)
    holder = await asyncpg.connect(postgres_dsn)
    async with Database(postgres_dsn, options, SystemClock()) as database:
        try:
            await holder.execute(ROW)
            async with holder.transaction():
                await holder.execute(UPDATE)
                for _ in range(USES):
                    with pytest.raises(MeshError, match="STORE_UNAVAILABLE"):
                        await database.use(lambda connection: connection.execute(UPDATE))

                async def gone() -> bool:
                    return await session_count(postgres_dsn) <= 1

                await eventually(gone, "no session is left behind")
        finally:
            await holder.close()
