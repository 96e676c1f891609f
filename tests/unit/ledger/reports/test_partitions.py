"""Partitions by month, and retention: nothing is lost for want of one, and what is dropped stays counted."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.reports.partitions import PartitionKeeper, PartitionOptions
from tests.support.clock import ManualClock
from tests.unit.ledger.reports.subject import Books, open_books
from tests.unit.ledger.subject import books, entries, key_hash, open_ledger

MARCH = datetime(2031, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC)
APRIL = datetime(2031, 4, 1, tzinfo=UTC)
MAY = datetime(2031, 5, 1, tzinfo=UTC)
KEPT = "SELECT * FROM ledger.drop_entries($1, $1)"


async def partitions(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = 'ledger.entries'::regclass"
    )
    return {row["name"].removeprefix("ledger.") for row in rows}


async def rows_in(connection: asyncpg.Connection, name: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM ONLY ledger.{name}"))


async def add_month(ours: Books, at: datetime) -> None:
    await ours.connection.execute("SELECT ledger.add_entries_partition($1)", at)


async def test_months_are_there_ahead_of_time(postgres_dsn: str) -> None:
    """After the migration: this month and the three after it."""
    async with open_books(postgres_dsn) as ours:
        now = datetime.now(UTC)
        months = [(now.year * 12 + now.month - 1 + ahead) for ahead in range(4)]
        wanted = {f"entries_{month // 12}_{month % 12 + 1:02}" for month in months}
        assert wanted | {"entries_default"} == await partitions(ours.connection)


async def test_an_insert_does_not_need_its_partition(postgres_dsn: str) -> None:
    """It waits in the default partition, and moves to its month when that is made; sums do not double."""
    async with open_books(postgres_dsn) as ours:
        await ours.post("march", at=MARCH, amount_nanos=1)
        await ours.post("april", at=APRIL, amount_nanos=2)
        assert 2 == await rows_in(ours.connection, "entries_default")

        made = await ours.connection.fetchval("SELECT ledger.add_entries_partitions($1, 0)", APRIL)
        assert 2 == made
        assert 0 == await ours.connection.fetchval("SELECT ledger.add_entries_partitions($1, 0)", APRIL)
        assert 1 == await rows_in(ours.connection, "entries_2031_03")
        assert 1 == await rows_in(ours.connection, "entries_2031_04")
        assert 0 == await rows_in(ours.connection, "entries_default")
        await ours.post("april-2", at=APRIL, amount_nanos=4)
        assert 2 == await rows_in(ours.connection, "entries_2031_04")
        await ours.assert_right()


@pytest.mark.parametrize("table", ["entries", "entries_2031_03", "entries_default"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET amount_nanos = 0", "TRUNCATE {}"])
async def test_no_part_can_be_changed(postgres_dsn: str, table: str, change: str) -> None:
    """By whatever name it is called."""
    async with open_books(postgres_dsn) as ours:
        await add_month(ours, MARCH)
        await ours.post("march", at=MARCH, amount_nanos=1)
        await ours.post("april", at=APRIL, amount_nanos=1)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await ours.connection.execute(change.format(f"ledger.{table}"))


async def test_a_posting_is_there_once_in_a_month(postgres_dsn: str) -> None:
    """PostgreSQL refuses the same again; across months verify tells."""
    async with open_books(postgres_dsn) as ours:
        await add_month(ours, MARCH)
        await ours.post("1", at=MARCH, amount_nanos=1)
        with pytest.raises(asyncpg.UniqueViolationError):
            await ours.connection.execute(
                "INSERT INTO ledger.entries OVERRIDING SYSTEM VALUE SELECT * FROM ledger.entries"
            )
        await ours.post("1", at=APRIL, amount_nanos=0)
        connection_books = await books(postgres_dsn)
        assert ["an entry is there twice"] == [each.what for each in connection_books.differences]


async def test_what_is_dropped_stays_counted(postgres_dsn: str) -> None:
    """Balances of payers and of whoever they counted on are proved with what was carried; days stay."""
    async with open_books(postgres_dsn) as ours:
        for month in (MARCH, APRIL, MAY):
            await add_month(ours, month)
        counted = ["team:t", "user:u"]
        await ours.post("1", at=MARCH, amount_nanos=10, scopes=counted)
        await ours.post("2", at=MARCH, key=2, amount_nanos=20, scopes=["team:t"])
        await ours.post("3", at=APRIL, amount_nanos=40, scopes=counted)
        await ours.post("4", at=MAY, amount_nanos=80, scopes=counted)

        dropped = await ours.connection.fetch(KEPT, APRIL)
        assert "entries_2031_03" == dropped[-1][0]  # before it, months that were empty
        await ours.assert_right()
        rows = await ours.connection.fetch("SELECT account_id, amount_nanos, entry_count FROM ledger.carried")
        carried = {row["account_id"]: (row["amount_nanos"], row["entry_count"]) for row in rows}
        keys = {f"key:{key_hash(1)}": (10, 1), f"key:{key_hash(2)}": (20, 1)}
        assert keys | {"team:t": (30, 2), "user:u": (10, 1)} == carried

        assert ["entries_2031_04"] == [row[0] for row in await ours.connection.fetch(KEPT, MAY)]
        await ours.post("5", at=MAY, amount_nanos=1, scopes=counted)
        await ours.assert_right()
        found = await books(postgres_dsn)
        assert (81, 70, 151) == (found.entries_nanos, found.carried_nanos, found.posted_nanos)
        assert 151 == await ours.connection.fetchval("SELECT sum(spend_nanos) FROM ledger.daily_spend")


async def test_what_was_carried_is_proved_too(postgres_dsn: str) -> None:
    """A carried sum that somebody changed is a difference."""
    async with open_books(postgres_dsn) as ours:
        await add_month(ours, MARCH)
        await ours.post("1", at=MARCH, amount_nanos=10)
        await ours.connection.fetch(KEPT, MAY)
        await ours.connection.execute("UPDATE ledger.carried SET amount_nanos = 11")
    found = await books(postgres_dsn)
    assert ["posted is not the sum of the entries"] == [each.what for each in found.differences]
    assert [(11, 10)] == [(each.expected, each.actual) for each in found.differences]


async def test_clocks_that_differ_at_the_end_of_a_month(postgres_dsn: str) -> None:
    """An entry of the old month may come after one of the new month: balances are still proved."""
    async with open_books(postgres_dsn) as ours:
        await add_month(ours, MARCH)
        await add_month(ours, APRIL)
        await ours.post("early", at=APRIL, amount_nanos=1)
        await ours.post("late", at=MARCH, amount_nanos=2)
        await ours.post("next", at=APRIL, amount_nanos=4)
        await ours.connection.fetch(KEPT, APRIL)
        await ours.assert_right()


async def test_a_month_stays_while_a_hold_may_need_it(postgres_dsn: str) -> None:
    """Repeats and late settlements are answered from the entries."""
    clock = ManualClock(int(MARCH.timestamp() * 1e9))
    async with open_ledger(postgres_dsn, clock) as subject, open_books(postgres_dsn) as ours:
        caller = await subject.add_key()
        await subject.reserve("1", caller)
        await subject.settle("1")
        keeper = PartitionKeeper(subject.database, PartitionOptions(retention_s=86_400.0), clock)
        await keeper.keep()
        clock.advance(6 * 86_400)
        assert () == (await keeper.keep())[1]
        assert 1 == len(await entries(postgres_dsn, "1"))

        clock.advance(10 * 86_400)
        await subject.sweeper.forget()
        assert "entries_2031_03" == (await keeper.keep())[1][-1]
        assert [] == await entries(postgres_dsn, "1")
        await ours.assert_right()


async def test_the_keeper_keeps_everything_unless_told(postgres_dsn: str) -> None:
    """No retention: partitions are made and none goes."""
    clock = ManualClock(int(MARCH.timestamp() * 1e9))
    async with open_ledger(postgres_dsn, clock) as subject, open_books(postgres_dsn) as ours:
        keeper = PartitionKeeper(subject.database, PartitionOptions(months_ahead=1), clock)
        assert (2, ()) == await keeper.keep()
        clock.advance(timedelta(days=400).total_seconds())
        assert (2, ()) == await keeper.keep()
        found = await partitions(ours.connection)
        assert {"entries_2031_03", "entries_2031_04", "entries_2032_05", "entries_2032_06"} <= found


async def test_a_partition_in_use_is_left_for_later(postgres_dsn: str) -> None:
    """Nobody waits behind the keeper: a reader that holds the table makes it come again."""
    clock = ManualClock(int(MARCH.timestamp() * 1e9))
    async with (
        Database(postgres_dsn, DatabaseOptions(), SystemClock()) as database,
        open_books(postgres_dsn) as ours,
    ):
        keeper = PartitionKeeper(database, PartitionOptions(months_ahead=0), clock)
        async with ours.connection.transaction():
            await ours.connection.fetch("SELECT * FROM ledger.entries LIMIT 1")
            assert (0, ()) == await keeper.keep()
        assert (1, ()) == await keeper.keep()
