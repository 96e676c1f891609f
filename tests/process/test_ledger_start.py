"""The ledger's start while PostgreSQL comes and goes: it waits, it does not end."""

import asyncio
import signal
from pathlib import Path

import asyncpg

from meshgate_ledger.migrate import ADVISORY_LOCK
from tests.process.test_services_alone import environment_of, running
from tests.support.eventually import eventually
from tests.support.ledger_service import running_ledger
from tests.support.postgres import DatabaseServer, own_postgres_server, postgres_dsn, postgres_server
from tests.support.running_mesh import free_port

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]

WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'meshgate-ledger' AND wait_event_type = 'Lock'"
)
CUTS = 2
EXIT_DEADLINE_S = 60.0


async def test_a_session_that_is_cut_does_not_end_the_start(postgres_dsn: str, tmp_path: Path) -> None:
    """In the middle of the migrations, which another replica holds up here, so that it is surely there."""
    other = await asyncpg.connect(postgres_dsn)
    served = asyncio.Event()
    done = asyncio.Event()

    async def ledger() -> None:
        async with running_ledger(postgres_dsn, tmp_path) as channel:
            assert await channel.serving(20.0)
            served.set()
            await done.wait()

    try:
        await other.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        starting = asyncio.create_task(ledger())
        for _ in range(CUTS):
            waiting = await eventually(lambda: starting.done() or other.fetchval(WAITING), "it waits")
            assert not starting.done(), starting.exception()
            await other.execute("SELECT pg_terminate_backend($1)", waiting)
            gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
            await eventually(lambda: other.fetchval(gone, waiting), "the session is gone")  # noqa: B023
        await other.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
        await eventually(lambda: starting.done() or served.is_set(), "it serves")
        assert not starting.done(), starting.exception()
        done.set()
        await starting
    finally:
        await other.close()


async def test_postgresql_may_be_started_anew_in_the_middle(
    own_postgres_server: DatabaseServer, tmp_path: Path
) -> None:
    """It is there, goes, and comes again while the ledger starts."""
    dsn = own_postgres_server.new_database(migrated=False)
    other = await asyncpg.connect(dsn)
    await other.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)

    async def ledger() -> bool:
        async with running_ledger(dsn, tmp_path) as channel:
            return await channel.serving(20.0)

    starting = asyncio.create_task(ledger())
    await eventually(lambda: starting.done() or other.fetchval(WAITING), "it waits")
    await asyncio.to_thread(own_postgres_server.stop)
    other.terminate()
    await asyncio.to_thread(own_postgres_server.start)
    assert await starting


async def test_a_ledger_that_waits_for_postgresql_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """In order, not by force at the end of its grace: whoever starts it again, elsewhere, waits for that."""
    environment = environment_of(tmp_path, f"postgresql://nobody@/nothing?host={tmp_path}", free_port())
    (tmp_path / "config.yaml").write_text("model_list: []\n")
    log = tmp_path / "ledger.log"
    with running("ledger", environment, tmp_path) as process:
        await eventually(lambda: "postgresql is away" in log.read_text(), "it waits")
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, EXIT_DEADLINE_S)
    assert 0 == code, log.read_text()
