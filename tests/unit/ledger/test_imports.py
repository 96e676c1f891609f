"""Opening balances meet our own spend and our own budgets."""

from datetime import UTC, datetime

import asyncpg

from meshgate_ledger.account_store import read_limits
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.imports.balances import post_balances
from meshgate_ledger.imports.records import Balance
from meshgate_ledger.records import utc
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import books, key_hash, open_ledger

ACCOUNT = f"key:{key_hash(1)}"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_balances_beside_our_own_spend(postgres_dsn: str) -> None:
    """Posted is theirs and ours together; a smaller total there takes back only its own."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(1)
        connection = await asyncpg.connect(postgres_dsn)
        for theirs, name in ((1_000, "a"), (1_700, "b"), (200, "c")):
            await post_balances(connection, "other", [Balance(ACCOUNT, theirs)], NOON)
            await subject.reserve(name, caller)
            await subject.settle(name)
        assert 1 == await post_balances(connection, "another", [Balance(ACCOUNT, 5)], NOON)
        assert 0 == await post_balances(connection, "other", [Balance(ACCOUNT, 200)], NOON)
        posted, _ = await subject.money()
        await connection.close()
    assert 200 + 5 + 3 * 200 == posted
    assert (await books(postgres_dsn)).balanced


async def test_a_reset_there_gives_nobody_more_budget_here(postgres_dsn: str) -> None:
    """After a new period began here, what is used of it is ours alone."""
    clock = ManualClock(int(NOON.timestamp() * 1e9))
    async with open_ledger(postgres_dsn, clock) as subject:
        plan = LimitPlan(max_budget_nanos=1_000, budget_period="1d")
        caller = await subject.add_key(1, limits=plan)
        connection = await asyncpg.connect(postgres_dsn)

        async def used() -> int:
            limits = await read_limits(connection, [ACCOUNT], utc(clock.now_ns()))
            [limit] = limits[ACCOUNT]
            return limit.used

        await post_balances(connection, "other", [Balance(ACCOUNT, 900)], utc(clock.now_ns()))
        assert 900 == await used()
        clock.advance(86_400)
        await subject.reserve("1", caller)
        await subject.settle("1")
        assert 200 == await used()
        await post_balances(connection, "other", [Balance(ACCOUNT, 0)], utc(clock.now_ns()))
        assert 200 == await used()
        await connection.close()
    assert (await books(postgres_dsn)).balanced
