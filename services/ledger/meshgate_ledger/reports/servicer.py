"""ReportService: checks what is asked for, reads, converts."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import invalid_field
from meshgate_ledger.database import Database
from meshgate_ledger.price import TOKENS_MAX, TokenCounts, consistent
from meshgate_ledger.price_book import PriceBook
from meshgate_ledger.records import utc
from meshgate_ledger.reports import convert, summaries
from meshgate_ledger.reports.entries import COUNT_MAX, EntryQuery, list_entries
from meshgate_ledger.reports.filters import (
    CHARACTERS_MAX,
    DAYS_MAX,
    Dimension,
    bounded,
    dimension_from,
    filter_from,
)
from meshgate_ledger.reports.pricing import price_call
from meshgate_ledger.reports.reader import ReportReader
from meshgate_ledger.reports.resetting import reset_spend
from meshgate_protos.ledger.v1 import report_service_pb2 as pb
from meshgate_protos.ledger.v1.report_service_mesh import ReportServiceServicer
from meshgate_protos.rpc import Call

ROWS_MAX = 10_000
ENTRIES_MAX = 1_000
ACCOUNTS_MAX = 1_000
OFFSET_MAX = 10_000
PAGE_DAYS_MAX = 31
PAGES_MAX = DAYS_MAX
OUTCOMES_MAX = 10
IDS_MAX = 1_000
RESET_TIMEOUT_S = 60.0
KINDS = frozenset({"key", "user", "team", "member", "organization", "customer", "tag", "master", "open"})


@dataclass(frozen=True, slots=True)
class ReportParts:
    """What it stands on."""

    reader: ReportReader
    database: Database
    prices: PriceBook
    clock: Clock


class ReportServicer(ReportServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(self, parts: ReportParts) -> None:
        self._parts = parts
        self._read = parts.reader.read

    async def list_entries(self, request: pb.ListEntriesRequest, call: Call) -> pb.ListEntriesResponse:
        query = _entry_query(request)
        page = await self._read(
            lambda connection: list_entries(connection, query, request.count), call.remaining_s()
        )
        return pb.ListEntriesResponse(
            entries=map(convert.entry_to, page.rows),
            total=min(page.count or 0, COUNT_MAX),
            total_is_at_least=(page.count or 0) > COUNT_MAX,
        )

    async def summarize_spend(
        self, request: pb.SummarizeSpendRequest, call: Call
    ) -> pb.SummarizeSpendResponse:
        wanted = filter_from(request.filter)
        group_by = tuple(dict.fromkeys(dimension_from("group_by", each) for each in request.group_by))
        limit = bounded("limit", request.limit, 1_000, ROWS_MAX)
        label = wanted.label(group_by)
        by_day = request.order == pb.SummarizeSpendRequest.ORDER_DAY
        rows = await self._read(
            lambda connection: summaries.summarize(connection, wanted, group_by, by_day, limit),
            call.remaining_s(),
        )
        shown = [convert.spend_row_to(row, label) for row in rows[:limit]]
        return pb.SummarizeSpendResponse(rows=shown, truncated=len(rows) > limit)

    async def list_daily_activity(
        self, request: pb.ListDailyActivityRequest, call: Call
    ) -> pb.ListDailyActivityResponse:
        wanted = filter_from(request.filter)
        if wanted.start_day is None or wanted.end_day is None:
            raise invalid_field("filter.start_day", "start_day and end_day are needed")
        if wanted.end_day - wanted.start_day >= timedelta(days=DAYS_MAX):
            raise invalid_field("filter.end_day", f"must be less than {DAYS_MAX} days after start_day")
        entity = dimension_from("entity", request.entity)
        if entity is Dimension.DAY:
            raise invalid_field("entity", "a day is always told apart")
        page = bounded("page", request.page, 1, PAGES_MAX)
        page_days = bounded("page_days", request.page_days, PAGE_DAYS_MAX, PAGE_DAYS_MAX)
        found = await self._read(
            lambda connection: summaries.daily_activity(connection, wanted, entity, page, page_days),
            call.remaining_s(),
        )
        answer = pb.ListDailyActivityResponse(
            total=convert.sums_to(found.total), day_count=found.total["day_count"]
        )
        days = {
            row["day"]: answer.days.add(day=row["day"].isoformat(), sums=convert.sums_to(row))
            for row in found.days
        }
        for row in found.parts:
            days[row["day"]].parts.append(convert.part_to(row))
        return answer

    async def list_account_spend(
        self, request: pb.ListAccountSpendRequest, call: Call
    ) -> pb.ListAccountSpendResponse:
        if request.kind not in KINDS:
            raise invalid_field("kind", f"must be one of {', '.join(sorted(KINDS))}")
        if len(request.ids) > IDS_MAX:
            raise invalid_field("ids", f"has more than {IDS_MAX}")
        limit = bounded("limit", request.limit, 100, ACCOUNTS_MAX)
        offset = bounded("offset", request.offset, 0, OFFSET_MAX)
        rows = await self._read(
            lambda connection: summaries.account_spend(connection, request.kind, request.ids, limit, offset),
            call.remaining_s(),
        )
        shown = map(convert.account_to, rows[:limit])
        return pb.ListAccountSpendResponse(accounts=shown, truncated=len(rows) > limit)

    async def get_total_spend(self, request: pb.GetTotalSpendRequest, call: Call) -> pb.GetTotalSpendResponse:
        row = await self._read(summaries.total_spend, call.remaining_s())
        return pb.GetTotalSpendResponse(
            spend_usd_nanos=row["spend_nanos"],
            max_budget_usd_nanos=row["maximum"],
            budget_spend_usd_nanos=row["used"] or 0,
        )

    async def list_tags(self, request: pb.ListTagsRequest, call: Call) -> pb.ListTagsResponse:
        wanted = filter_from(request.filter)
        wanted.label((Dimension.TAG,))
        names = await self._read(
            lambda connection: summaries.tag_names(connection, wanted), call.remaining_s()
        )
        return pb.ListTagsResponse(tags=names)

    async def price_call(self, request: pb.PriceCallRequest, call: Call) -> pb.PriceCallResponse:
        model = _text("model", request.model)
        if not model:
            raise invalid_field("model", "is required")
        tokens = TokenCounts(
            prompt=_tokens(request, "prompt_tokens"),
            completion=_tokens(request, "completion_tokens"),
            cached=_tokens(request, "cached_tokens"),
            cache_creation=_tokens(request, "cache_creation_tokens"),
            reasoning=_tokens(request, "reasoning_tokens"),
        )
        now = utc(self._parts.clock.now_ns())
        cost = price_call(
            self._parts.prices, model, _text("provider", request.provider), consistent(tokens), now
        )
        return pb.PriceCallResponse(known=cost is not None, cost_usd_nanos=cost or 0)

    async def reset_spend(self, request: pb.ResetSpendRequest, call: Call) -> pb.ResetSpendResponse:
        now = utc(self._parts.clock.now_ns())
        count = await self._parts.database.use(
            lambda connection: reset_spend(connection, now), call.remaining_s(), limit_s=RESET_TIMEOUT_S
        )
        return pb.ResetSpendResponse(limit_count=count)


def _entry_query(request: pb.ListEntriesRequest) -> EntryQuery:
    wanted = filter_from(request.filter)
    if wanted.start_day is not None or wanted.end_day is not None:
        raise invalid_field("filter.start_day", "entries are filtered by start_time and end_time")
    if len(request.outcomes) > OUTCOMES_MAX:
        raise invalid_field("outcomes", f"has more than {OUTCOMES_MAX}")
    bounds = (request.spend_usd_nanos_min, request.spend_usd_nanos_max)
    return EntryQuery(
        wanted=wanted,
        start=_time(request, "start_time"),
        end=_time(request, "end_time"),
        request_id=_text("request_id", request.request_id),
        outcomes=tuple(_text("outcomes", each) for each in request.outcomes),
        amount_min=bounds[0] if request.HasField("spend_usd_nanos_min") else None,
        amount_max=bounds[1] if request.HasField("spend_usd_nanos_max") else None,
        limit=bounded("limit", request.limit, 100, ENTRIES_MAX),
        offset=bounded("offset", request.offset, 0, OFFSET_MAX),
    )


def _text(field: str, text: str) -> str:
    if len(text) > CHARACTERS_MAX or "\0" in text:
        raise invalid_field(field, "can not be")
    return text


def _tokens(request: Message, field: str) -> int:
    return bounded(field, getattr(request, field), 0, TOKENS_MAX)


def _time(request: pb.ListEntriesRequest, field: str) -> datetime | None:
    if not request.HasField(field):  # type: ignore[arg-type]  # a literal at every call
        return None
    stamp: Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid_field(field, "is not a time") from None
