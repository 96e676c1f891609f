"""What reports are asked for in a URL: days, times, pages. Errors name the parameter. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.errors import invalid_field
from meshgate_edge.management.key_values import parse_duration_s

DAYS_DEFAULT: Final = 30
DAYS_MAX: Final = 366
PAGE_ROWS_MAX: Final = 10_000  # how deep a list can be paged
_TIMES: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")


@dataclass(frozen=True, slots=True)
class Days:
    """Both included, UTC."""

    first: date
    last: date


def parse_day(text: str, name: str) -> date:
    """2026-11-20, or the day of a time."""
    return _moment(text, name).date()


def days_asked(start: str | None, end: str | None, now_ns: int, *, required: bool = False) -> Days:
    """As asked; without dates the last 30 days, unless they are `required`."""
    if required and not (start and end):
        missing = "start_date" if not start else "end_date"
        raise invalid_field(missing, "Please provide start_date and end_date, each like 2026-11-20")
    last = parse_day(end, "end_date") if end else _today(now_ns)
    first = parse_day(start, "start_date") if start else last - timedelta(days=DAYS_DEFAULT - 1)
    if first > last:
        raise invalid_field("start_date", "start_date is after end_date")
    if last - first >= timedelta(days=DAYS_MAX):
        raise invalid_field("start_date", f"no more than {DAYS_MAX} days can be reported at once")
    return Days(first, last)


def parse_start(text: str | None) -> Timestamp | None:
    """The moment that `start_date` begins."""
    return None if not text else _stamp(_moment(text, "start_date"))


def parse_end(text: str | None) -> Timestamp | None:
    """The moment after `end_date`: a day is included whole, a time with its second."""
    if not text:
        return None
    moment = _moment(text, "end_date")
    step = timedelta(days=1) if len(text) == len("2026-11-20") else timedelta(seconds=1)
    return _stamp(moment + step)


def offset_of(page: int, page_size: int) -> int:
    """Where a page begins. `page` counts from 1."""
    offset = (page - 1) * page_size
    if offset + page_size > PAGE_ROWS_MAX:
        raise invalid_field("page", f"only the first {PAGE_ROWS_MAX} rows can be paged: narrow the dates")
    return offset


def timeframe_days(text: str, now_ns: int) -> Days:
    """The days of the last `24h`, `7d`: sums are by day, so it begins with a whole one."""
    seconds = parse_duration_s(text, "timeframe")
    now = datetime.fromtimestamp(now_ns / 1e9, UTC)
    first = (now - timedelta(seconds=min(seconds, (DAYS_MAX - 1) * 86_400))).date()
    return Days(first, now.date())


def _today(now_ns: int) -> date:
    return datetime.fromtimestamp(now_ns / 1e9, UTC).date()


def _moment(text: str, name: str) -> datetime:
    plain = text.strip().removesuffix("Z")
    if len(plain) == len("2026-11-20"):
        try:
            return datetime.combine(date.fromisoformat(plain), time(), UTC)
        except ValueError:
            plain = ""
    for form in _TIMES:
        try:
            return datetime.strptime(plain, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise invalid_field(name, f"{name} must be like 2026-11-20, or 2026-11-20 12:00:00 (UTC)")


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
