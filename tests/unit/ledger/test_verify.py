"""`verify` finds what does not balance, and says what."""

import asyncpg
import pytest

from tests.support.clock import ManualClock
from tests.unit.ledger.subject import books, open_ledger

DAMAGE = {
    "UPDATE ledger.accounts SET posted_nanos = posted_nanos + 1 WHERE posted_nanos > 0": (
        "posted is not the sum of the entries"
    ),
    "UPDATE ledger.accounts SET pending_nanos = pending_nanos + 1 WHERE pending_nanos > 0": (
        "pending is not the sum of the open holds"
    ),
    "DELETE FROM ledger.holds WHERE state = 'open'": "pending is not the sum of the open holds",
    "DELETE FROM ledger.accounts WHERE posted_nanos > 0": "posted is not the sum of the entries",
    "UPDATE ledger.holds SET state = 'settled' WHERE state = 'open'": "a hold that ended has no entry",
    "UPDATE ledger.holds SET state = 'open' WHERE state = 'settled'": "a hold that did not end has entries",
    "UPDATE ledger.holds SET account_id = 'master' WHERE state = 'settled'": "a hold that ended has no entry",
    "ALTER TABLE ledger.entries DISABLE TRIGGER ALL; "
    "DELETE FROM ledger.entries WHERE kind = 'expiry'": "a correction does not take back what expired",
    "ALTER TABLE ledger.entries DISABLE TRIGGER ALL; "
    "UPDATE ledger.entries SET balance_nanos = 0 WHERE entry_id = 2": "the balance on an entry",
}


async def fill(dsn: str) -> None:
    """One of everything: settled, voided, expired, corrected, denied, open."""
    clock = ManualClock()
    async with open_ledger(dsn, clock) as subject:
        caller = await subject.add_key(budget=1_000)
        for name in ("expired", "corrected"):
            await subject.reserve(name, caller, hold_duration_s=1.0)
        clock.advance(2)
        await subject.sweeper.sweep()
        for name in ("settled", "voided", "open"):
            await subject.reserve(name, caller)
        await subject.reserve("denied", caller, output_tokens=1_000)
        await subject.settle("settled")
        await subject.settle("corrected", completion=5)
        await subject.void("voided")


async def test_books_that_balance(postgres_dsn: str) -> None:
    """No difference, and the totals."""
    await fill(postgres_dsn)
    found = await books(postgres_dsn)

    assert () == found.differences
    assert (3, 5, 1) == (found.account_count, found.entry_count, found.open_hold_count)
    assert (550, 200) == (found.posted_nanos, found.pending_nanos)


@pytest.mark.parametrize("statement", DAMAGE, ids=lambda statement: DAMAGE[statement])
async def test_damage_is_named(postgres_dsn: str, statement: str) -> None:
    """Each kind of damage that one can do by hand."""
    await fill(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(statement)
    await connection.close()
    found = await books(postgres_dsn)

    assert not found.balanced
    named = [difference for difference in found.differences if DAMAGE[statement] in difference.what]
    assert named
    assert all(difference.expected != difference.actual for difference in named)
