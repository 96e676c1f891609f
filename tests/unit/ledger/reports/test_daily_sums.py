"""What the posting transaction adds to the sums of a day."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from meshgate_ledger.verify import verify
from tests.support.clock import ManualClock
from tests.unit.ledger.reports.subject import NOON, Books, open_books
from tests.unit.ledger.subject import books, key_hash, open_ledger


async def sums(
    connection: asyncpg.Connection, columns: str, table: str = "daily_spend"
) -> list[tuple[Any, ...]]:
    """The rows that have anything, by their columns in order."""
    names = ", ".join(f"sum({each})::bigint" for each in ("spend_nanos", "prompt_tokens", "requests"))
    rows = await connection.fetch(
        f"SELECT {columns}, {names} FROM ledger.{table} GROUP BY {columns} ORDER BY {columns}"
    )
    return [tuple(row) for row in rows]


async def test_one_row_for_each_combination(postgres_dsn: str) -> None:
    """A batch adds up by key, model and provider; the next one adds to the same rows."""
    async with open_books(postgres_dsn) as ours:
        for turn in ("a", "b"):
            await ours.post_all(
                [
                    {"request_id": f"{turn}1", "key": 1, "amount_nanos": 10, "prompt_tokens": 1},
                    {"request_id": f"{turn}2", "key": 1, "amount_nanos": 20, "prompt_tokens": 2},
                    {"request_id": f"{turn}3", "key": 2, "amount_nanos": 40, "prompt_tokens": 4},
                    {"request_id": f"{turn}4", "key": 2, "amount_nanos": 80, "upstream_model": "o3"},
                ]
            )

        assert [
            (key_hash(1), "gpt-4o", 60, 6, 4),
            (key_hash(2), "gpt-4o", 80, 8, 2),
            (key_hash(2), "o3", 160, 0, 2),
        ] == await sums(ours.connection, "key_hash, model")
        assert 3 == await ours.connection.fetchval("SELECT count(*) FROM ledger.daily_spend")
        await ours.assert_right()


async def test_a_day_is_of_utc(postgres_dsn: str) -> None:
    """Midnight belongs to the new day."""
    async with open_books(postgres_dsn) as ours:
        await ours.connection.execute("SET timezone = 'America/Los_Angeles'")
        await ours.post("before", at=NOON + timedelta(hours=11, minutes=59), amount_nanos=1)
        await ours.post("after", at=NOON + timedelta(hours=12), amount_nanos=2)

        days = [(str(day), spend) for day, spend, _, _ in await sums(ours.connection, "day")]
        assert [("2026-11-20", 1), ("2026-11-21", 2)] == days


async def test_tags_and_end_users_have_sums_of_their_own(postgres_dsn: str) -> None:
    """A call counts under each of its tags, once, and under its end user."""
    async with open_books(postgres_dsn) as ours:
        await ours.post("1", amount_nanos=10, tags=["a", "b", "a", ""], end_user="eve")
        await ours.post("2", amount_nanos=5, tags=["a"])
        await ours.post("3", amount_nanos=1)

        assert [
            ("end_user", "eve", 10, 0, 1),
            ("tag", "a", 15, 0, 2),
            ("tag", "b", 10, 0, 1),
        ] == await sums(ours.connection, "kind, label", "daily_label_spend")


@pytest.mark.parametrize(
    ("outcome", "kind", "expected"),
    [
        ("success", "charge", (1, 0, 0, 0)),
        ("failure", "charge", (1, 1, 0, 0)),
        ("void", "void", (1, 1, 0, 0)),
        ("unknown", "expiry", (1, 1, 0, 0)),
        ("cancelled", "charge", (1, 0, 1, 0)),
        ("cache_hit", "charge", (1, 0, 0, 1)),
    ],
)
async def test_how_a_call_ended(
    postgres_dsn: str, outcome: str, kind: str, expected: tuple[int, int, int, int]
) -> None:
    """Requests, and of them failures, cancelled and cache hits."""
    async with open_books(postgres_dsn) as ours:
        await ours.post("1", outcome=outcome, kind=kind)
        row = await ours.connection.fetchrow(
            "SELECT requests, failures, cancelled, cache_hits FROM ledger.daily_spend"
        )
        assert expected == tuple(row)


async def test_legs_are_paid_but_are_no_requests(postgres_dsn: str) -> None:
    """A hedge's loser costs under its own model; it is one request nevertheless."""
    async with open_books(postgres_dsn) as ours:
        took = {"start_time": NOON, "end_time": NOON + timedelta(milliseconds=250)}
        await ours.post_all(
            [
                {"request_id": "1", "amount_nanos": 10, **took},
                {"request_id": "1", "leg": 1, "amount_nanos": 3, "upstream_model": "o3", **took},
            ]
        )
        assert [("gpt-4o", 10, 0, 1), ("o3", 3, 0, 0)] == await sums(ours.connection, "model")
        row = await ours.connection.fetchrow(
            "SELECT sum(duration_us), sum(timed_requests) FROM ledger.daily_spend"
        )
        assert (250_000, 1) == tuple(row)


async def test_a_correction_leaves_what_the_call_was_in_the_end(postgres_dsn: str) -> None:
    """The expiry goes with its tokens and its model, on the day of the correction; days still add up."""
    async with open_books(postgres_dsn) as ours:
        expiry = {"provider": "", "upstream_model": "", "outcome": "unknown", "kind": "expiry"}
        await ours.post("1", amount_nanos=100, prompt_tokens=50, tags=["t"], **expiry)
        later = NOON + timedelta(days=1)
        await ours.post(
            "1",
            at=later,
            kind="correction",
            amount_nanos=-30,
            corrected_nanos=100,
            prompt_tokens=20,
            tags=["t"],
        )
        await ours.post("2", amount_nanos=7, at=later, **(expiry | {"model": "other"}))
        await ours.post("2", kind="void", amount_nanos=-7, corrected_nanos=7, at=later, outcome="void")

        rows = await sums(ours.connection, "provider, model")
        assert [("", "gpt", 0, 0, 0), ("", "other", 0, 0, 0), ("openai", "gpt-4o", 70, 20, 2)] == rows
        assert [("t", 70, 20, 1)] == await sums(ours.connection, "label", "daily_label_spend")
        by_day = [(str(day), spend) for day, spend, _, _ in await sums(ours.connection, "day")]
        assert [("2026-11-20", 100), ("2026-11-21", -30)] == by_day
        await ours.assert_right()


async def test_what_opened_an_account_is_of_no_day(postgres_dsn: str) -> None:
    """An import's opening entry moves a balance; the history of it is imported by day."""
    async with open_books(postgres_dsn) as ours:
        await ours.post("import:1", amount_nanos=500, outcome="import")
        assert 0 == await ours.connection.fetchval("SELECT count(*) FROM ledger.daily_spend")
        await ours.assert_right()


async def test_the_ledger_itself_keeps_the_sums(postgres_dsn: str) -> None:
    """Settled, voided, expired and corrected by the ledger: the books and the days agree."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(user_id="u", team_id="t")
        for name in ("expired", "corrected", "undone"):
            await subject.reserve(name, caller, hold_duration_s=1.0, end_user="eve", tags=("x",))
        clock.advance(2)
        await subject.sweeper.sweep()
        await subject.settle("corrected", completion=5)
        await subject.void("undone")
        await subject.reserve("settled", caller)
        await subject.settle("settled")

    found = await books(postgres_dsn)
    assert () == found.differences
    connection = await asyncpg.connect(postgres_dsn)
    row = await connection.fetchrow(
        "SELECT sum(spend_nanos) AS spend_nanos, sum(requests) AS requests, sum(failures) AS failures, "
        "sum(prompt_tokens) AS prompt_tokens FROM ledger.daily_spend WHERE user_id = 'u' AND team_id = 't'"
    )
    labels = await sums(connection, "kind, label", "daily_label_spend")
    await connection.close()
    assert (found.posted_nanos, 4, 2, 300) == tuple(row)  # failed: undone, and expired for good
    assert [("end_user", "eve", 350, 200, 3), ("tag", "x", 350, 200, 3)] == labels


async def test_completion_tokens_that_the_cache_gave(postgres_dsn: str) -> None:
    """By day, key and model group; of answers only, not of what providers generated; verify proves them."""
    hit = {"outcome": "cache_hit", "completion_tokens": 7}
    async with open_books(postgres_dsn) as ours:
        await ours.post_all(
            [
                {"request_id": "1", **hit},
                {"request_id": "2", "completion_tokens": 100},
                {"request_id": "3", **hit, "model_group": "other"},
                {"request_id": "4", **hit, "key": 2},
            ]
        )
        await ours.post("5", at=NOON + timedelta(days=1), **hit)
        await ours.post("6", **hit)

        rows = await ours.connection.fetch(
            "SELECT day::text, key_hash, model_group, completion_tokens FROM ledger.daily_hits"
        )
        assert {
            ("2026-11-20", key_hash(1), "gpt", 14),
            ("2026-11-20", key_hash(1), "other", 7),
            ("2026-11-20", key_hash(2), "gpt", 7),
            ("2026-11-21", key_hash(1), "gpt", 7),
        } == {tuple(row) for row in rows}
        assert [] == await differences(ours)
        await ours.connection.execute(
            "UPDATE ledger.daily_hits SET completion_tokens = completion_tokens + 1"
        )
        assert {("2026-11-20", 28, 31), ("2026-11-21", 7, 8)} == set(await differences(ours))


async def test_hits_that_move_to_their_months_partition_count_once(postgres_dsn: str) -> None:
    """And those that are posted there after it was made count as well."""
    hit = {"outcome": "cache_hit", "completion_tokens": 7, "at": NOON + timedelta(days=4_000)}
    async with open_books(postgres_dsn) as ours:
        await ours.post("1", **hit)
        waiting = "SELECT count(*) FROM ledger.entries_default"
        assert 1 == await ours.connection.fetchval(waiting)
        await ours.connection.execute("SELECT ledger.add_entries_partitions($1, 0)", NOON)
        assert 0 == await ours.connection.fetchval(waiting)
        await ours.post("2", **hit)

        assert 14 == await ours.connection.fetchval("SELECT sum(completion_tokens) FROM ledger.daily_hits")
        assert [] == await differences(ours)


async def test_a_wrong_sum_is_named(postgres_dsn: str) -> None:
    """verify does not trust the trigger."""
    async with open_books(postgres_dsn) as ours:
        await ours.post("1", amount_nanos=5)
        await ours.connection.execute("UPDATE ledger.daily_spend SET spend_nanos = 6")
        [difference] = await differences(ours)
        assert ("2026-11-20", 5, 6) == difference


async def differences(ours: Books) -> list[tuple[str, int, int]]:
    """What verify says, without the words."""
    found = (await verify(ours.connection)).differences
    return [(each.subject, each.expected, each.actual) for each in found]
