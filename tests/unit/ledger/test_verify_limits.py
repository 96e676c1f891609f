"""`verify` finds limits that count something else than what happened, and nothing where all is right."""

import time

import asyncpg
import pytest

from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.price import TokenCounts
from meshgate_ledger.records import Leg, Outcome, Principal, TopUpCommand
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import TIMEOUT_S, LedgerSubject, books, open_ledger

HOUR_S = 3_600.0
SPEND = "what a budget counts is not what was posted in its period"
RATE = "what a rate counts is not what was admitted in its period"
FORGOTTEN = """
    UPDATE ledger.limits l SET base = a.posted_nanos FROM ledger.accounts a
    WHERE a.account_id = l.account_id AND l.period = '1d' AND l.metric = 'spend'
"""
SLOTS = "calls under way are not those that have a slot"


async def call(subject: LedgerSubject, name: str, caller: Principal) -> None:
    await subject.reserve(name, caller)
    await subject.settle(name)


async def fill(dsn: str) -> None:
    """Days of a key and its user with budgets for an hour, a day, and for ever; rates; a call under way."""
    clock = ManualClock()
    async with open_ledger(dsn, clock) as subject:
        caller = await subject.add_key(user_id="u")
        account = caller.account_id
        await call(subject, "before all limits", caller)
        for each in (account, "user:u"):
            await subject.limit(
                each,
                LimitSpec("spend", "1h", 10**6),
                LimitSpec("spend", "1d", 10**6),
                LimitSpec("spend", "", 10**9),
                LimitSpec("requests", "60s", 100),
                LimitSpec("requests", "1d", 100),
                LimitSpec("parallel", "", 10),
            )
        for number in range(8):
            await call(subject, f"call {number}", caller)
            clock.advance(HOUR_S / 2 if number % 2 else 20 * HOUR_S / 4)
            await subject.reserve(f"voided {number}", caller)
            await subject.void(f"voided {number}")
        await call(subject, "last", caller)
        await subject.reserve("open", caller)


async def test_limits_that_are_right(postgres_dsn: str) -> None:
    """After rolls of several periods, with voids and a call under way."""
    await fill(postgres_dsn)
    assert () == (await books(postgres_dsn)).differences


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE ledger.limits SET base = base + 1 WHERE period = '1d' AND metric = 'spend'", SPEND),
        ("UPDATE ledger.limits SET base = 0 WHERE period = '1h' AND metric = 'spend'", SPEND),
        (FORGOTTEN, SPEND),
        ("UPDATE ledger.limits SET base = 5 WHERE period = '' AND metric = 'spend'", SPEND),
        ("UPDATE ledger.limits SET used = used + 1 WHERE metric = 'requests'", RATE),
        ("UPDATE ledger.limits SET used = 0 WHERE metric = 'requests' AND period = '1d'", RATE),
        ("UPDATE ledger.accounts SET open_calls = 0 WHERE open_calls > 0", SLOTS),
        ("UPDATE ledger.accounts SET open_calls = open_calls + 1", SLOTS),
    ],
)
async def test_a_limit_that_counts_wrong_is_named(postgres_dsn: str, statement: str, what: str) -> None:
    """With the account, the period, what it should be and what it is."""
    await fill(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(statement)
    await connection.close()

    found = (await books(postgres_dsn)).differences

    assert {what} == {difference.what for difference in found}
    assert {"key", "user"} <= {difference.subject.partition(":")[0] for difference in found}
    assert all(difference.expected != difference.actual for difference in found)


async def test_a_budget_in_other_words_is_right(postgres_dsn: str) -> None:
    """Another period takes over what the one before had counted; a reset begins anew."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=10**6)
        await call(subject, "for ever", caller)
        for number, period in enumerate(("1d", "30d", "", "7d")):
            clock.advance(30 * HOUR_S)
            await subject.limit(caller.account_id, LimitSpec("spend", period, 10**6))
            clock.advance(60)
            await call(subject, f"call {number}", caller)
            assert () == (await books(postgres_dsn)).differences, period


async def fill_tokens(dsn: str) -> None:
    """Calls that end in every way, one that goes on, and one of a lost hold; in a day that is not over."""
    clock = ManualClock(time.time_ns())
    async with open_ledger(dsn, clock) as subject:
        caller = await subject.add_key(user_id="u")
        for each in (caller.account_id, "user:u"):
            await subject.limit(each, LimitSpec("tokens", "1d", 10**6), LimitSpec("tokens", "60s", 10**6))
        await call(subject, "first", caller)
        clock.advance(10)
        for name in ("settled", "voided", "hit", "raised", "open"):
            await subject.reserve(name, caller)
        for name in ("expired", "corrected", "taken back"):
            await subject.reserve(name, caller, hold_duration_s=5.0)
        await subject.reserve("refused", caller, prompt_tokens=10**6)
        for name in ("raised", "open"):
            await subject.ledger.top_up(
                TopUpCommand(name, "paid-1", "openai", "m", prompt_tokens=100, output_tokens=70), TIMEOUT_S
            )
        leg = Leg(TokenCounts(10, 1), "paid-1", "openai", "m", "paid")
        await subject.settle("settled", prompt=90, completion=3, legs=(leg,))
        await subject.settle("hit", outcome=Outcome.CACHE_HIT)
        await subject.settle("raised", completion=65)
        await subject.void("voided")
        clock.advance(6)
        await subject.sweeper.sweep()
        await subject.settle("corrected", prompt=50, completion=1)
        await subject.void("taken back")
        await subject.settle("lost", principal=caller)


async def test_tokens_that_are_right(postgres_dsn: str) -> None:
    """110 of the first, 104, 165, 170 held, 110 expired, 51 corrected, 110 of a lost hold."""
    await fill_tokens(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    used = await connection.fetch("SELECT used FROM ledger.limits WHERE metric = 'tokens' AND period = '1d'")
    await connection.close()

    assert [820, 820] == [row["used"] for row in used]
    assert () == (await books(postgres_dsn)).differences


@pytest.mark.parametrize("change", ["used + 1", "used - 200", "0"])
async def test_tokens_that_are_wrong_are_named(postgres_dsn: str, change: str) -> None:
    """With the account, the period, what it should be and what it is."""
    await fill_tokens(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(
        f"UPDATE ledger.limits SET used = {change} "
        "WHERE metric = 'tokens' AND period = '1d' AND account_id = 'user:u'"
    )
    await connection.close()

    (found,) = (await books(postgres_dsn)).differences

    assert ("what a rate counts is not what its calls hold and have used", "user:u 1d", 820) == (
        found.what,
        found.subject,
        found.expected,
    )
