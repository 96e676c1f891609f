"""PostgreSQL goes away, hangs, crashes and comes back."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psutil
import pytest
from structlog.testing import capture_logs

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.database import DatabaseOptions
from meshgate_ledger.records import Grant, ReserveCommand
from tests.support.eventually import eventually
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.subject import TIMEOUT_S, LedgerSubject, books, entries, open_ledger, principal

CALLER = principal(1)
QUICK = DatabaseOptions(connect_timeout_s=1.0, use_timeout_s=1.0, retry_delay_s=0.0)


@asynccontextmanager
async def replica(dsn: str) -> AsyncIterator[LedgerSubject]:
    """A replica that tries again at once, with a key."""
    async with open_ledger(dsn, database_options=QUICK) as subject:
        await subject.add_key(budget=10**9)
        yield subject


async def is_granted(subject: LedgerSubject, request_id: str) -> bool:
    """Whether the ledger decides again."""
    try:
        return isinstance(await subject.reserve(request_id, CALLER), Grant)
    except MeshError:
        return False


@pytest.fixture
def database(own_postgres_server: DatabaseServer) -> str:
    return own_postgres_server.new_database()


async def test_without_postgresql_calls_fail_at_once_and_recover(
    own_postgres_server: DatabaseServer, database: str
) -> None:
    """UNAVAILABLE/STORE_UNAVAILABLE, one line in the log however many calls fail, and then it goes on."""
    async with replica(database) as subject:
        with capture_logs() as logs:
            await asyncio.to_thread(own_postgres_server.stop)
            for number in range(20):
                with pytest.raises(MeshError) as caught:
                    await subject.reserve(f"r{number}", CALLER)
                assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (caught.value.code, caught.value.reason)
            assert 0.0 == subject.registry.get_sample_value("meshgate_ledger_store_up")
            await asyncio.to_thread(own_postgres_server.start)
            await eventually(lambda: is_granted(subject, "again"), "the ledger decides again")

        assert ["postgresql is away", "postgresql is back"] == [line["event"] for line in logs]
        assert 1.0 == subject.registry.get_sample_value("meshgate_ledger_store_up")


async def test_while_it_is_away_only_one_in_a_while_tries(
    own_postgres_server: DatabaseServer, database: str
) -> None:
    """The others are refused without touching the network; time is the ledger's clock."""
    options = DatabaseOptions(retry_delay_s=5.0)
    async with open_ledger(database, database_options=options) as subject:
        await asyncio.to_thread(own_postgres_server.stop)
        with pytest.raises(MeshError):
            await subject.add_key()
        await asyncio.to_thread(own_postgres_server.start)
        with pytest.raises(MeshError):
            await subject.add_key()
        subject.clock.advance(5.1)
        await subject.add_key()


async def test_a_hanging_postgresql_costs_a_deadline(
    own_postgres_server: DatabaseServer, database: str
) -> None:
    """Stopped by a signal, it answers nothing: the call fails by its limit, and nothing is left broken."""
    async with replica(database) as subject:
        await subject.reserve("r0", CALLER)
        processes = backends(own_postgres_server.process_id)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            with pytest.raises(MeshError) as caught:
                await subject.reserve("r1", CALLER)
            waited_s = time.monotonic() - began_s
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)
        assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (caught.value.code, caught.value.reason)
        assert waited_s < TIMEOUT_S / 2  # by the limit of one use, not by the caller's deadline
        await eventually(lambda: is_granted(subject, "r1"), "the ledger decides again")


async def test_a_crash_under_load_loses_and_doubles_nothing(
    own_postgres_server: DatabaseServer, database: str
) -> None:
    """Callers that repeat what failed, as the edge does, end with one entry for each call and right books."""
    async with replica(database) as subject:
        finished = 0

        async def call(number: int) -> None:
            nonlocal finished
            await persist(lambda: subject.reserve(f"r{number}", CALLER))
            await persist(lambda: subject.settle(f"r{number}", principal=CALLER))
            finished += 1

        calls = [asyncio.ensure_future(call(number)) for number in range(400)]
        for threshold in (50, 150):
            await eventually(lambda limit=threshold: finished >= limit, "calls finish")
            await asyncio.to_thread(own_postgres_server.crash)
            await asyncio.to_thread(own_postgres_server.start)
        await asyncio.gather(*calls)
        counts = [len(await entries(database, f"r{number}")) for number in range(400)]
        posted, held = await subject.money()

    assert [1] * 400 == counts
    assert (400 * 200, 0) == (posted, held)
    assert (await books(database)).balanced


async def test_a_call_whose_deadline_is_near(postgres_dsn: str) -> None:
    """Is given up then, its request can be repeated, and others are not refused because of it."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key()
        for attempt in (
            subject.ledger.reserve(ReserveCommand("r1", caller, "paid"), 0.0),
            subject.keys.get(caller.key_hash, 0.0),
        ):
            with pytest.raises(MeshError) as caught:
                await attempt
            assert (Code.DEADLINE_EXCEEDED, "LEDGER_TOO_SLOW") == (caught.value.code, caught.value.reason)
        assert isinstance(await subject.reserve("r1", caller), Grant)


async def persist(attempt: Callable[[], Awaitable[object]]) -> object:
    """Repeats an attempt until PostgreSQL decides it."""

    async def once() -> object:
        try:
            return await attempt()
        except MeshError as error:
            assert "STORE_UNAVAILABLE" == error.reason, error
            return None

    return await eventually(once, "PostgreSQL decides")


def backends(postmaster: int) -> list[int]:
    """The postmaster and its children."""
    return [postmaster, *(child.pid for child in psutil.Process(postmaster).children())]
