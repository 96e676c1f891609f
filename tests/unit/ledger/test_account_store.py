"""Accounts and limits as those who manage them write and read them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from meshgate_ledger.account_store import (
    read_accounts,
    read_limits,
    set_limits,
    upsert_account,
)
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.periods import normal_period

NOW = datetime(2026, 3, 18, 10, 17, 30, tzinfo=UTC)  # a Wednesday
TEAM = "team:t"


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(postgres_dsn)
    await upsert_account(opened, TEAM)
    yield opened
    await opened.close()


async def version(connection: asyncpg.Connection) -> int:
    found: int = await connection.fetchval("SELECT version FROM ledger.accounts WHERE account_id = $1", TEAM)
    return found


async def test_rules_move_the_version_only_when_they_change(connection: asyncpg.Connection) -> None:
    """Whoever remembers them is told by it."""
    await upsert_account(connection, TEAM)
    assert 1 == await version(connection)
    await upsert_account(connection, TEAM, blocked=True, models=["m"])
    assert 2 == await version(connection)
    state = (await read_accounts(connection, [TEAM, "team:none"]))[TEAM]
    assert (True, ("m",)) == (state.blocked, state.models)


async def test_a_limit_that_stays_keeps_what_was_used(connection: asyncpg.Connection) -> None:
    """Its maximum may change; those that are left out are gone."""
    specs = [LimitSpec("spend", "1d", 100), LimitSpec("requests", "60s", 5), LimitSpec("parallel", "", 2)]
    assert await set_limits(connection, TEAM, specs, NOW)
    await connection.execute("UPDATE ledger.accounts SET posted_nanos = 70 WHERE account_id = $1", TEAM)
    await connection.execute("UPDATE ledger.limits SET used = 3 WHERE metric = 'requests'")
    assert not await set_limits(connection, TEAM, specs, NOW)
    assert 2 == await version(connection)
    assert await set_limits(connection, TEAM, [LimitSpec("spend", "1d", 50, 40), specs[1]], NOW)
    limits = (await read_limits(connection, [TEAM], NOW))[TEAM]

    assert [(specs[1], 3), (LimitSpec("spend", "1d", 50, 40), 70)] == [(use.spec, use.used) for use in limits]
    assert 3 == await version(connection)


async def test_a_period_that_is_over_counts_as_empty(connection: asyncpg.Connection) -> None:
    """And says when the one ends that has begun."""
    await set_limits(connection, TEAM, [LimitSpec("spend", "1d", 100)], NOW)
    await connection.execute("UPDATE ledger.accounts SET posted_nanos = 70 WHERE account_id = $1", TEAM)
    before = (await read_limits(connection, [TEAM], NOW))[TEAM][0]
    after = (await read_limits(connection, [TEAM], NOW + timedelta(days=1)))[TEAM][0]

    assert (70, datetime(2026, 3, 19, tzinfo=UTC)) == (before.used, before.ends_at)
    assert (0, datetime(2026, 3, 20, tzinfo=UTC)) == (after.used, after.ends_at)


async def test_a_budget_in_other_words_goes_on(connection: asyncpg.Connection) -> None:
    """Another period for the only budget keeps what was spent; one more budget begins at nothing."""
    await connection.execute("UPDATE ledger.accounts SET posted_nanos = 10 WHERE account_id = $1", TEAM)
    await set_limits(connection, TEAM, [LimitSpec("spend", "", 100)], NOW)
    await set_limits(connection, TEAM, [LimitSpec("spend", "30d", 100)], NOW)
    assert 10 == (await read_limits(connection, [TEAM], NOW))[TEAM][0].used
    await set_limits(connection, TEAM, [LimitSpec("spend", "30d", 100), LimitSpec("spend", "1h", 5)], NOW)
    assert {"30d": 10, "1h": 0} == {
        use.spec.period: use.used for use in (await read_limits(connection, [TEAM], NOW))[TEAM]
    }


@pytest.mark.parametrize(
    ("period", "timezone", "end"),
    [
        ("1d", "UTC", "2026-03-19T00:00:00+00:00"),
        ("24h", "UTC", "2026-03-19T00:00:00+00:00"),
        ("1d", "America/New_York", "2026-03-19T04:00:00+00:00"),
        ("7d", "UTC", "2026-03-23T00:00:00+00:00"),
        ("1w", "UTC", "2026-03-23T00:00:00+00:00"),
        ("30d", "UTC", "2026-04-01T00:00:00+00:00"),
        ("1mo", "UTC", "2026-04-01T00:00:00+00:00"),
        ("1h", "UTC", "2026-03-18T11:00:00+00:00"),
        ("15m", "UTC", "2026-03-18T10:30:00+00:00"),
        ("30s", "UTC", "2026-03-18T10:18:00+00:00"),
        ("3d", "UTC", "2026-03-21T10:17:30+00:00"),
    ],
)
async def test_budgets_end_at_litellms_instants(
    connection: asyncpg.Connection, period: str, timezone: str, end: str
) -> None:
    """Days at midnight, weeks on Monday, months on the first; others so long after now."""
    ends_at = await connection.fetchval("SELECT ledger.period_end($1, $2, $3)", period, NOW, timezone)

    assert datetime.fromisoformat(end) == ends_at


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("30s", "30s"),
        ("030d", "30d"),
        ("monthly", "1mo"),
        ("1", None),
        ("0d", None),
        ("1y", None),
        ("", None),
    ],
)
def test_periods(text: str, period: str | None) -> None:
    """One way to write each; what is none is refused."""
    assert period == normal_period(text)
