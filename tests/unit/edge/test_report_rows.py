"""Reports as values: exact amounts, days, pages, and who may see what."""

from datetime import date
from decimal import Decimal

import pytest

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.errors import MeshError
from meshgate_edge.reports.access import Viewer
from meshgate_edge.reports.query import (
    Days,
    days_asked,
    offset_of,
    parse_day,
    parse_end,
    parse_start,
    timeframe_days,
)
from meshgate_edge.reports.rows import entry_json, exact_usd, short_day
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

NOW_NS = 1_795_176_000_000_000_000  # 2026-11-20 12:00 UTC
KEY = "a" * 64


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.0"),
        (1, "0.000000001"),
        (-30, "-0.00000003"),
        (1_500_000_000, "1.5"),
        (9_007_199_254_740_993, "9007199.254740993"),
        (123_456_789_012_345_678, "123456789.012345678"),
    ],
)
def test_amounts_are_exact(nanos: int, text: str) -> None:
    """Every digit, also beyond what a float can hold."""
    assert Decimal(text) == exact_usd(nanos)
    assert Decimal(text) == Decimal(dumps(exact_usd(nanos)).decode())


def test_days() -> None:
    """As asked; 30 without dates; both ends included."""
    assert Days(date(2026, 10, 22), date(2026, 11, 20)) == days_asked(None, None, NOW_NS)
    assert Days(date(2026, 1, 2), date(2026, 1, 3)) == days_asked("2026-01-02", "2026-01-03 23:59:59", NOW_NS)
    assert Days(date(2025, 12, 3), date(2026, 1, 1)) == days_asked("", "2026-01-01", NOW_NS)
    assert Days(date(2026, 11, 19), date(2026, 11, 20)) == timeframe_days("24h", NOW_NS)
    assert date(2026, 1, 2) == parse_day("2026-01-02T03:04:05.678Z", "start_date")
    assert "Nov 05" == short_day("2026-11-05")


def test_times() -> None:
    """A day ends with its last moment, a time with its second."""
    start, day_end, time_end = (
        parse_start("2026-01-02"),
        parse_end("2026-01-02"),
        parse_end("2026-01-02 12:00:00"),
    )
    assert start is not None and day_end is not None and time_end is not None
    assert 86_400 == day_end.seconds - start.seconds
    assert 43_201 == time_end.seconds - start.seconds
    assert parse_start(None) is None
    assert parse_end("") is None


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("2026-1-1", "2026-01-02", "start_date"),
        ("2026-01-01", "2026-02-30", "end_date"),
        ("2026-01-02", "2026-01-01", "start_date"),
        ("2025-01-01", "2026-01-02", "start_date"),
        ("0001-01-01", "9999-12-31", "start_date"),
        ("now", "", "start_date"),
    ],
)
def test_days_that_are_none(start: str, end: str, field: str) -> None:
    """The parameter is named."""
    with pytest.raises(MeshError) as raised:
        days_asked(start, end, NOW_NS)
    assert [field] == list(raised.value.fields)


def test_pages() -> None:
    """10,000 rows deep at most."""
    assert 50 == offset_of(2, 50)
    assert 9_950 == offset_of(200, 50)
    with pytest.raises(MeshError):
        offset_of(201, 50)


def test_a_key_sees_its_own() -> None:
    """Its filter always names it; another key is refused; the admin may name any."""
    own = Viewer(KEY)
    assert [KEY] == list(own.filter().key_hashes)
    assert [KEY] == list(own.filter(None, KEY, user_ids=["u", ""]).key_hashes)
    with pytest.raises(MeshError) as raised:
        own.filter(None, "b" * 64)
    assert "KEY_NOT_OWN" == raised.value.reason
    assert [] == list(Viewer().filter().key_hashes)
    assert 64 == len(Viewer().filter(None, "sk-a-key-of-somebody").key_hashes[0])


def test_a_row_that_says_little() -> None:
    """What is not known has LiteLLM's empty values; a master key's call has its user."""
    entry = pb.Entry(request_id="r", kind="void", outcome="void", account_id="master", error_reason="X")
    row = entry_json(entry)
    assert ("r", "failure", "default_user_id", "False") == (
        row["request_id"],
        row["status"],
        row["user"],
        row["cache_hit"],
    )
    assert "X" == row["metadata"]["error_information"]["error_class"]
    assert row["team_id"] is None
