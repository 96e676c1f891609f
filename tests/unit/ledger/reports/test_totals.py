"""Totals of past days: reports are the same with and without them, and late postings are not lost."""

from datetime import date, timedelta
from typing import Any

import pytest

from meshgate_ledger.reports.filters import Dimension
from meshgate_ledger.verify import verify
from meshgate_protos.ledger.v1 import report_service_pb2 as pb
from tests.unit.ledger.reports.subject import CALL, NOON, Books, open_books, open_reports

DAY = timedelta(days=1)
WANTED: tuple[dict[str, Any], ...] = (
    {},
    {"start_day": "2026-11-21"},
    {"end_day": "2026-11-21"},
    {"models": ["gpt-4o"]},
    {"user_ids": ["u", "v"]},
    {"tags": ["a"]},
    {"team_ids": ["t"], "models": ["gpt-4o"]},
)


IMPORTED = """
    INSERT INTO ledger.daily_spend
    SELECT day, key_hash, user_id, team_id, organization_id, model, model_group, provider, true, 7,
        saved_nanos, prompt_tokens, completion_tokens, cached_tokens, cache_creation_tokens, reasoning_tokens,
        requests, failures, cancelled, cache_hits, duration_us, timed_requests
    FROM ledger.daily_spend WHERE day = '2026-11-21'
"""


async def fill(ours: Books) -> None:
    """Four days, one of them with sums of another gateway as well."""
    for number in range(40):
        await ours.post(
            str(number),
            key=number % 3,
            at=NOON + number % 4 * DAY,
            amount_nanos=number,
            user_id="uvw"[number % 3],
            team_id="t" if number % 2 else "",
            end_user="eve" if number % 5 == 0 else "",
            tags=["a", "b"][: number % 3],
            upstream_model=("gpt-4o", "o3")[number % 2],
        )
    await ours.connection.execute(IMPORTED)


async def every_report(dsn: str) -> list[Any]:
    """Sums by each dimension, by day and at once, under some filters; and the activity of users and tags."""
    found: list[Any] = []
    async with open_reports(dsn) as reports:
        for dimension in Dimension:
            for wanted in WANTED:
                if dimension is Dimension.END_USER and "tags" in wanted:
                    continue
                number = pb.Dimension.Value(f"DIMENSION_{dimension.name}")
                group_by = [pb.DIMENSION_DAY, number]
                request = pb.SummarizeSpendRequest(filter=pb.SpendFilter(**wanted), group_by=group_by)
                found.append(sorted(map(str, (await reports.summarize_spend(request, CALL)).rows)))
        for entity in (pb.DIMENSION_USER, pb.DIMENSION_TAG):
            asked = pb.ListDailyActivityRequest(
                filter=pb.SpendFilter(start_day="2026-11-01", end_day="2026-11-30"), entity=entity
            )
            activity = await reports.list_daily_activity(asked, CALL)
            found.append((str(activity.total), activity.day_count))
            found += [sorted(map(str, day.parts)) for day in activity.days]
    return found


@pytest.mark.parametrize("today", ["2026-11-20", "2026-11-22", "2026-12-31"])
async def test_reports_are_the_same(postgres_dsn: str, today: str) -> None:
    """However many of the days have totals."""
    async with open_books(postgres_dsn) as ours:
        await fill(ours)
        before = await every_report(postgres_dsn)
        await ours.connection.execute("SELECT ledger.total_days($1)", date.fromisoformat(today))
        assert before == await every_report(postgres_dsn)
        await ours.assert_right()


async def test_a_late_posting_counts(postgres_dsn: str) -> None:
    """Its day loses its totals until they are made again; others are as they were."""
    async with open_books(postgres_dsn) as ours:
        await fill(ours)
        await ours.connection.execute("SELECT ledger.total_days('2026-12-01')")
        await ours.post("late", at=NOON + DAY, amount_nanos=1_000_000)
        late = await every_report(postgres_dsn)
        assert date(2026, 11, 21) == await ours.connection.fetchval(
            "SELECT before_day FROM ledger.totals_state"
        )
        await ours.connection.execute("SELECT ledger.total_days('2026-12-01')")
        assert late == await every_report(postgres_dsn)
        assert any("1000" in str(report) for report in late)
        await ours.assert_right()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("day_totals SET spend_nanos = 0 WHERE dimension = 'all' AND", "the totals of a day"),
        ("day_team_totals SET spend_nanos = spend_nanos + 1 WHERE", "the totals of teams of a day"),
    ],
)
async def test_wrong_totals_are_named(postgres_dsn: str, damage: str, what: str) -> None:
    """verify does not trust them."""
    async with open_books(postgres_dsn) as ours:
        await fill(ours)
        await ours.connection.execute("SELECT ledger.total_days('2026-12-01')")
        await ours.connection.execute(f"UPDATE ledger.{damage} day = '2026-11-20'")
        differences = (await verify(ours.connection)).differences
    assert [f"{what} are not its sums"] == [each.what for each in differences]
