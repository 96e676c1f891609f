"""Reports: what they add up, what they leave out, what they refuse."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.reports.reader import ReportLimits, ReportReader
from meshgate_protos.ledger.v1 import report_service_pb2 as pb
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.reports.subject import CALL, NOON, Books, open_books, open_reports
from tests.unit.ledger.subject import key_hash

DAY = timedelta(days=1)


async def fill(ours: Books) -> None:
    """Three days, two keys, two models, two tags."""
    await ours.post("1", at=NOON, amount_nanos=10, user_id="u", team_id="t", tags=["a"], prompt_tokens=3)
    await ours.post("2", at=NOON, amount_nanos=20, upstream_model="o3", user_id="u", end_user="eve")
    await ours.post("3", at=NOON + DAY, key=2, amount_nanos=40, tags=["a", "b"], provider="azure")
    await ours.post("4", at=NOON + 2 * DAY, key=2, amount_nanos=0, outcome="failure", response_id="chat-4")
    await ours.connection.execute(
        "INSERT INTO ledger.keys (key_hash, key_name, key_alias, user_id, team_id, models, aliases, blocked, "
        "metadata, settings, created_at, created_by_request) "
        "VALUES ($1, 'sk-...1234', 'bot', 'u', 't', '{}', '{}', false, '', '', now(), 'r')",
        key_hash(1),
    )


@pytest.fixture(scope="module")
def filled_dsn(postgres_server: DatabaseServer) -> Iterator[str]:
    """Books that nobody changes, for all tests that only read."""
    dsn = postgres_server.new_database()

    async def prepare() -> None:
        async with open_books(dsn) as ours:
            await fill(ours)

    asyncio.run(prepare())
    yield dsn
    postgres_server.drop_database(dsn)


def stamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time)
    return made


async def rows(dsn: str, *group_by: int, **wanted: Any) -> list[tuple[Any, ...]]:
    """The sums by the dimensions: their values, then spend and requests."""
    request = pb.SummarizeSpendRequest(filter=pb.SpendFilter(**wanted), group_by=group_by)
    async with open_reports(dsn) as reports:
        answer = await reports.summarize_spend(request, CALL)
    names = [pb.Dimension.Name(each).removeprefix("DIMENSION_").lower() for each in group_by]
    names = [{"key": "key_hash"}.get(name, name) for name in names]
    names = [f"{name}_id" if name in ("user", "team", "organization") else name for name in names]
    return [
        (*(getattr(row, name) for name in names), row.sums.spend_usd_nanos, row.sums.requests)
        for row in answer.rows
    ]


@pytest.mark.parametrize(
    ("group_by", "wanted", "expected"),
    [
        ((), {}, [(70, 4)]),
        ((), {"start_day": "2026-11-21", "end_day": "2026-11-21"}, [(40, 1)]),
        ((), {"user_ids": ["nobody"]}, [(0, 0)]),
        ((pb.DIMENSION_KEY,), {}, [(key_hash(2), 40, 2), (key_hash(1), 30, 2)]),
        ((pb.DIMENSION_USER,), {}, [("", 40, 2), ("u", 30, 2)]),
        ((pb.DIMENSION_MODEL,), {"key_hashes": [key_hash(1)]}, [("o3", 20, 1), ("gpt-4o", 10, 1)]),
        ((pb.DIMENSION_PROVIDER,), {}, [("azure", 40, 1), ("openai", 30, 3)]),
        ((pb.DIMENSION_TAG,), {}, [("a", 50, 2), ("b", 40, 1)]),
        ((pb.DIMENSION_TAG,), {"tags": ["b", "c"]}, [("b", 40, 1)]),
        ((pb.DIMENSION_END_USER,), {}, [("eve", 20, 1)]),
        ((pb.DIMENSION_TEAM,), {"tags": ["a"], "team_ids": ["t"]}, [("t", 10, 1)]),
        (
            (pb.DIMENSION_DAY, pb.DIMENSION_MODEL_GROUP),
            {"start_day": "2026-11-21"},
            [("2026-11-21", "gpt", 40, 1), ("2026-11-22", "gpt", 0, 1)],
        ),
    ],
)
async def test_sums_by_any_dimension(
    filled_dsn: str, group_by: tuple[int, ...], wanted: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    """Most spent first; filters hold all together."""
    assert expected == await rows(filled_dsn, *group_by, **wanted)


async def test_a_sum_says_when_there_is_more(filled_dsn: str) -> None:
    """And a key comes with its names."""
    async with open_reports(filled_dsn) as reports:
        request = pb.SummarizeSpendRequest(group_by=[pb.DIMENSION_KEY], limit=1)
        one = await reports.summarize_spend(request, CALL)
        assert (1, True) == (len(one.rows), one.truncated)
        request.limit = 2
        both = await reports.summarize_spend(request, CALL)
        assert (2, False) == (len(both.rows), both.truncated)
        assert ["", "bot"] == [row.key_alias for row in both.rows]


async def test_days_with_their_parts(filled_dsn: str) -> None:
    """Newest first, by page; the total is of all pages."""
    wanted = pb.SpendFilter(start_day="2026-11-01", end_day="2026-11-30")
    request = pb.ListDailyActivityRequest(filter=wanted, entity=pb.DIMENSION_USER, page=1, page_days=2)
    async with open_reports(filled_dsn) as reports:
        first = await reports.list_daily_activity(request, CALL)
        request.page = 2
        second = await reports.list_daily_activity(request, CALL)

    assert ["2026-11-22", "2026-11-21"] == [day.day for day in first.days]
    assert (3, 70) == (first.day_count, first.total.spend_usd_nanos)
    [day] = second.days
    parts = {(part.dimension, part.value): part.sums.spend_usd_nanos for part in day.parts}
    assert {
        (pb.DIMENSION_MODEL, "o3"): 20,
        (pb.DIMENSION_MODEL, "gpt-4o"): 10,
        (pb.DIMENSION_MODEL_GROUP, "gpt"): 30,
        (pb.DIMENSION_PROVIDER, "openai"): 30,
        (pb.DIMENSION_KEY, key_hash(1)): 30,
        (pb.DIMENSION_USER, "u"): 30,
    } == parts
    assert {"bot"} == {part.key_alias for part in day.parts if part.dimension == pb.DIMENSION_KEY}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, ["4", "3", "2", "1"]),
        ({"limit": 2, "offset": 1}, ["3", "2"]),
        ({"filter": {"key_hashes": [key_hash(1)]}}, ["2", "1"]),
        ({"filter": {"models": ["gpt-4o"]}}, ["4", "3", "1"]),
        ({"filter": {"tags": ["a"]}}, ["3", "1"]),
        ({"filter": {"tags": ["a"], "providers": ["azure"]}}, ["3"]),
        ({"filter": {"providers": ["nobody"]}}, []),
        ({"filter": {"end_users": ["eve"]}}, ["2"]),
        ({"outcomes": ["failure"]}, ["4"]),
        ({"outcomes": ["failure", "success"]}, ["4", "3", "2", "1"]),
        ({"outcomes": ["failure", "void", "unknown"]}, ["4"]),
        ({"outcomes": ["success", "cache_hit", "cancelled"]}, ["3", "2", "1"]),
        ({"outcomes": ["success", "cache_hit", "cancelled", "void"]}, ["3", "2", "1"]),
        ({"outcomes": ["success"], "limit": 1}, ["3"]),
        ({"outcomes": ["cancelled", "cache_hit"]}, []),
        ({"spend_usd_nanos_min": 20}, ["3", "2"]),
        ({"spend_usd_nanos_min": 1, "spend_usd_nanos_max": 10, "filter": {"models": ["gpt-4o"]}}, ["1"]),
        ({"request_id": "3"}, ["3"]),
        ({"request_id": "chat-4"}, ["4"]),
        ({"start_time": stamp(NOON + DAY)}, ["4", "3"]),
        ({"end_time": stamp(NOON + DAY)}, ["2", "1"]),
        ({"start_time": stamp(NOON + DAY), "filter": {"model_groups": ["gpt"]}}, ["4", "3"]),
    ],
)
async def test_postings_one_by_one(filled_dsn: str, members: dict[str, Any], expected: list[str]) -> None:
    """Newest first; the count is of all that match."""
    async with open_reports(filled_dsn) as reports:
        request = pb.ListEntriesRequest(**{"count": True} | members)
        found = await reports.list_entries(request, CALL)
    assert expected == [entry.request_id for entry in found.entries]
    if "limit" not in members:
        assert (len(expected), False) == (found.total, found.total_is_at_least)
    else:
        assert (3 if "outcomes" in members else 4) == found.total


async def test_accounts_by_what_they_spent(postgres_dsn: str) -> None:
    """Keys with what is known of them; other kinds by their ids."""
    async with open_books(postgres_dsn) as ours, open_reports(postgres_dsn) as reports:
        await fill(ours)
        await ours.post("5", amount_nanos=5, scopes=["user:u", "user:v/w"])
        keys = await reports.list_account_spend(pb.ListAccountSpendRequest(kind="key", limit=1), CALL)
        mine = await reports.list_account_spend(
            pb.ListAccountSpendRequest(kind="key", ids=[key_hash(1)]), CALL
        )
        users = await reports.list_account_spend(pb.ListAccountSpendRequest(kind="user"), CALL)
        total = await reports.get_total_spend(pb.GetTotalSpendRequest(), CALL)
    assert ([(key_hash(2), 40)], True) == ([(a.id, a.spend_usd_nanos) for a in keys.accounts], keys.truncated)
    assert [("bot", 35, "t")] == [(a.key_alias, a.spend_usd_nanos, a.team_id) for a in mine.accounts]
    assert [("u", 5), ("v/w", 5)] == [(a.id, a.spend_usd_nanos) for a in users.accounts]
    assert (75, False) == (total.spend_usd_nanos, total.HasField("max_budget_usd_nanos"))


async def test_budgets_begin_anew(postgres_dsn: str) -> None:
    """What was posted stays; it no longer counts against a budget."""
    async with open_books(postgres_dsn) as ours, open_reports(postgres_dsn) as reports:
        await ours.post("1", amount_nanos=10, scopes=["gateway"])
        await ours.connection.execute(
            "INSERT INTO ledger.limits (account_id, metric, period, maximum) VALUES "
            "('gateway', 'spend', '', 100), ('gateway', 'requests', '60s', 5)"
        )
        before = await reports.get_total_spend(pb.GetTotalSpendRequest(), CALL)
        done = await reports.reset_spend(pb.ResetSpendRequest(request_id="r"), CALL)
        after = await reports.get_total_spend(pb.GetTotalSpendRequest(), CALL)
        await ours.assert_right()
    assert (10, 100, 10) == (
        before.spend_usd_nanos,
        before.max_budget_usd_nanos,
        before.budget_spend_usd_nanos,
    )
    assert 1 == done.limit_count
    assert (10, 100, 0) == (after.spend_usd_nanos, after.max_budget_usd_nanos, after.budget_spend_usd_nanos)


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [("paid", "", 100 + 200), ("nobody-knows-me", "", None), ("openai/gpt-4o", "", 450_000), ("free", "", 0)],
)
async def test_what_a_call_would_cost(
    filled_dsn: str, model: str, provider: str, expected: int | None
) -> None:
    """A public name by the configuration, another by the price library."""
    request = pb.PriceCallRequest(model=model, provider=provider, prompt_tokens=100, completion_tokens=20)
    async with open_reports(filled_dsn) as reports:
        answer = await reports.price_call(request, CALL)
    assert expected == (answer.cost_usd_nanos if answer.known else None)


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("summarize_spend", pb.SummarizeSpendRequest(filter={"start_day": "2026-2-30"}), "filter.start_day"),
        ("summarize_spend", pb.SummarizeSpendRequest(filter={"end_day": "yesterday"}), "filter.end_day"),
        (
            "summarize_spend",
            pb.SummarizeSpendRequest(filter={"start_day": "2026-02-02", "end_day": "2026-02-01"}),
            "filter.start_day",
        ),
        ("summarize_spend", pb.SummarizeSpendRequest(filter={"models": ["m"] * 101}), "filter.models"),
        ("summarize_spend", pb.SummarizeSpendRequest(filter={"models": ["\0"]}), "filter.models"),
        ("summarize_spend", pb.SummarizeSpendRequest(limit=10_001), "limit"),
        ("summarize_spend", pb.SummarizeSpendRequest(group_by=[0]), "group_by"),
        (
            "summarize_spend",
            pb.SummarizeSpendRequest(group_by=[pb.DIMENSION_TAG, pb.DIMENSION_END_USER]),
            "filter.tags",
        ),
        ("list_daily_activity", pb.ListDailyActivityRequest(entity=pb.DIMENSION_USER), "filter.start_day"),
        (
            "list_daily_activity",
            pb.ListDailyActivityRequest(
                entity=pb.DIMENSION_USER, filter={"start_day": "2025-01-01", "end_day": "2026-12-31"}
            ),
            "filter.end_day",
        ),
        ("list_entries", pb.ListEntriesRequest(limit=1_001), "limit"),
        ("list_entries", pb.ListEntriesRequest(offset=10_001), "offset"),
        ("list_account_spend", pb.ListAccountSpendRequest(kind="gateway"), "kind"),
        ("price_call", pb.PriceCallRequest(), "model"),
    ],
)
async def test_what_can_not_be_reported(
    filled_dsn: str, method: str, request_message: Any, field: str
) -> None:
    """The field is named, and PostgreSQL is not asked."""
    async with open_reports(filled_dsn) as reports:
        with pytest.raises(MeshError) as raised:
            await getattr(reports, method)(request_message, CALL)
    assert (Code.INVALID_ARGUMENT, {field}) == (raised.value.code, set(raised.value.fields))


async def test_a_report_that_takes_too_long_is_refused(filled_dsn: str) -> None:
    """PostgreSQL ends it; the next one is answered on the same connection."""
    async with open_reports(filled_dsn, ReportLimits(query_s=0.05, at_once_max=1)) as reports:
        reader: ReportReader = reports._parts.reader

        async def sleep(connection: Any) -> None:
            await connection.execute("SELECT pg_sleep(20)")

        with pytest.raises(MeshError) as raised:
            await reader.read(sleep, 10.0)
        assert (Code.RESOURCE_EXHAUSTED, "REPORT_TOO_LARGE") == (raised.value.code, raised.value.reason)

        async def process(connection: Any) -> int:
            return int(await connection.fetchval("SELECT pg_backend_pid()"))

        assert await reader.read(process, 10.0) == await reader.read(process, 10.0)


async def test_reports_do_not_pile_up(filled_dsn: str) -> None:
    """More than may wait are refused at once."""
    async with open_reports(filled_dsn, ReportLimits(waiting_max=0)) as reports:
        with pytest.raises(MeshError) as raised:
            await reports.get_total_spend(pb.GetTotalSpendRequest(), CALL)
    assert "QUEUE_FULL" == raised.value.reason
