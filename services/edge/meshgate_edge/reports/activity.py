"""/global/activity*, /…/daily/activity and /usage/stats: requests and tokens by day."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from meshgate_chassis.chat.json import JsonObject
from meshgate_edge.reports.access import ReportAccess
from meshgate_edge.reports.query import days_asked, timeframe_days
from meshgate_edge.reports.rows import answered, exact_usd, metrics_json, short_day
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

ROWS_MAX = 10_000
PAGE_DAYS_MAX = 31
PAGES_MAX = 366
TOP_MODELS = 10
MODELS_MAX = 20  # of /global/activity/model
BREAKDOWNS = {
    pb.DIMENSION_MODEL: "models",
    pb.DIMENSION_MODEL_GROUP: "model_groups",
    pb.DIMENSION_PROVIDER: "providers",
    pb.DIMENSION_KEY: "api_keys",
}

# LiteLLM's names of what whole teams and organizations are called.
ALIASES = {pb.DIMENSION_TEAM: "team_alias", pb.DIMENSION_ORGANIZATION: "organization_alias"}

Page = Annotated[int, Query(ge=1, le=PAGES_MAX)]
PageSize = Annotated[int, Query(ge=1, le=1_000)]


class ActivityEndpoints:
    """The admin sees all, a virtual key its own. Without dates the last 30 days."""

    def __init__(self, access: ReportAccess) -> None:
        self._access = access

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["activity"])
        router.add_api_route("/global/activity", self.requests, methods=["GET"])
        router.add_api_route("/global/activity/model", self.models, methods=["GET"])
        router.add_api_route("/global/activity/cache_hits", self.cache_hits, methods=["GET"])
        router.add_api_route("/usage/stats", self.stats, methods=["GET"])
        for name, daily in self._daily().items():
            router.add_api_route(f"/{name}/daily/activity", daily.show, methods=["GET"], name=f"{name}_daily")
        return router

    def _daily(self) -> Mapping[str, "DailyActivity"]:
        user = DailyActivity(self._access, pb.DIMENSION_USER, "user_ids")
        customer = DailyActivity(self._access, pb.DIMENSION_END_USER, "end_users")
        return {
            "user": user,
            "team": DailyActivity(self._access, pb.DIMENSION_TEAM, "team_ids"),
            "organization": DailyActivity(self._access, pb.DIMENSION_ORGANIZATION, "organization_ids"),
            "tag": DailyActivity(self._access, pb.DIMENSION_TAG, "tags"),
            "customer": customer,
            "end_user": customer,
        }

    async def requests(self, request: Request, start_date: str = "", end_date: str = "") -> Response:
        """Requests and tokens by day, the oldest first."""
        rows = await self._rows(request, (start_date, end_date), [pb.DIMENSION_DAY])
        return answered(_activity(rows))

    async def models(self, request: Request, start_date: str = "", end_date: str = "") -> Response:
        """The same for each model group, the busiest first."""
        dimensions = [pb.DIMENSION_DAY, pb.DIMENSION_MODEL_GROUP]
        rows = await self._rows(request, (start_date, end_date), dimensions)
        by_model: dict[str, list[pb.SpendRow]] = {}
        for row in rows:
            by_model.setdefault(row.model_group, []).append(row)
        told = [{"model": model, **_activity(days)} for model, days in by_model.items()]
        told.sort(key=lambda one: -one["sum_api_requests"])
        return answered(told[:MODELS_MAX])

    async def cache_hits(self, request: Request, start_date: str = "", end_date: str = "") -> Response:
        """What the cache answered and what providers generated, by day, key and model."""
        dimensions = [pb.DIMENSION_DAY, pb.DIMENSION_KEY, pb.DIMENSION_MODEL_GROUP]
        rows = await self._rows(request, (start_date, end_date), dimensions)
        return answered(
            [
                {
                    "date": row.day,
                    "api_key": row.key_hash,
                    "call_type": "acompletion",
                    "model": row.model_group,
                    "total_rows": row.sums.requests,
                    "cache_hit_true_rows": row.sums.cache_hits,
                    "cached_completion_tokens": row.sums.hit_completion_tokens,
                    "generated_completion_tokens": row.sums.completion_tokens
                    - row.sums.hit_completion_tokens,
                    "saved_spend": exact_usd(row.sums.saved_usd_nanos),
                }
                for row in rows
            ]
        )

    async def stats(self, request: Request, timeframe: str = "24h") -> Response:
        """What happened lately. Sums are by day (UTC): the timeframe begins with its first day."""
        viewer = await self._access.viewer(request)
        wanted = viewer.filter(timeframe_days(timeframe, self._access.now_ns()))
        [row] = await self._access.sums(wanted, [])
        models = await self._access.sums(wanted, [pb.DIMENSION_MODEL_GROUP], TOP_MODELS)
        sums = row.sums
        latency_s = sums.duration_us / sums.timed_requests / 1e6 if sums.timed_requests else 0.0
        return answered(
            {
                "timeframe": timeframe,
                "requests_total": sums.requests,
                "tokens_total": sums.prompt_tokens + sums.completion_tokens,
                "cost_total": exact_usd(sums.spend_usd_nanos),
                "errors_total": sums.failures,
                "latency_avg": latency_s,
                "cache_hit_ratio": sums.cache_hits / sums.requests if sums.requests else 0.0,
                "top_models": [
                    {
                        "model": each.model_group,
                        "requests": each.sums.requests,
                        "cost": exact_usd(each.sums.spend_usd_nanos),
                    }
                    for each in models
                ],
            }
        )

    async def _rows(
        self, request: Request, dates: tuple[str, str], dimensions: "list[pb.Dimension.ValueType]"
    ) -> list[pb.SpendRow]:
        viewer = await self._access.viewer(request)
        days = days_asked(*dates, self._access.now_ns())
        return await self._access.sums(viewer.filter(days), dimensions, ROWS_MAX, by_day=True)


class DailyActivity:
    """/user/daily/activity and its kin: pages of days, the newest first, each with its parts."""

    def __init__(self, access: ReportAccess, entity: "pb.Dimension.ValueType", members: str) -> None:
        self._access = access
        self._entity = entity
        self._members = members

    async def show(
        self,
        request: Request,
        start_date: str = "",
        end_date: str = "",
        page: Page = 1,
        page_size: PageSize = PAGE_DAYS_MAX,
    ) -> Response:
        """`user_id`, `team_ids`, `tags` …: only these, with commas between them; `api_key`, `model` as well.

        A page has `page_size` days, 31 at most.
        """
        viewer = await self._access.viewer(request)
        days = days_asked(start_date, end_date, self._access.now_ns(), required=True)
        asked = request.query_params
        names = (self._members, self._members.removesuffix("s"))
        values = {self._members: [each for name in names for each in _listed(asked.get(name, ""))]}
        values["models"] = _listed(asked.get("model", ""))
        wanted = viewer.filter(days, asked.get("api_key", ""), **values)
        found = await self._access.activity(wanted, self._entity, page, min(page_size, PAGE_DAYS_MAX))
        pages = max(1, -(-found.day_count // min(page_size, PAGE_DAYS_MAX)))
        totals = {f"total_{name}": value for name, value in metrics_json(found.total).items()}
        totals["total_tokens"] = totals.pop("total_total_tokens")
        place = {"page": page, "total_pages": pages, "has_more": page < pages}
        return answered({"results": [self._day(day) for day in found.days], "metadata": totals | place})

    def _day(self, day: pb.DailyActivity) -> JsonObject:
        breakdown: dict[str, Any] = {name: {} for name in BREAKDOWNS.values()}
        breakdown |= {"mcp_servers": {}, "entities": {}}
        for part in day.parts:
            told: JsonObject = {"metrics": metrics_json(part.sums), "metadata": {}}
            if part.dimension == pb.DIMENSION_KEY:
                told["metadata"] = {
                    "key_alias": part.key_alias or None,
                    "team_id": part.key_team_id or None,
                }
            else:
                told["api_key_breakdown"] = {}
            if part.dimension in ALIASES:
                told["metadata"] = {ALIASES[part.dimension]: part.entity_alias or None}
            if part.dimension in BREAKDOWNS:
                breakdown[BREAKDOWNS[part.dimension]][part.value] = told
            if part.dimension == self._entity:
                breakdown["entities"][part.value] = told
        return {"date": day.day, "metrics": metrics_json(day.sums), "breakdown": breakdown}


def _activity(rows: list[pb.SpendRow]) -> JsonObject:
    daily = [
        {
            "date": short_day(row.day),
            "api_requests": row.sums.requests,
            "total_tokens": row.sums.prompt_tokens + row.sums.completion_tokens,
        }
        for row in rows
    ]
    return {
        "daily_data": daily,
        "sum_api_requests": sum(row.sums.requests for row in rows),
        "sum_total_tokens": sum(row.sums.prompt_tokens + row.sums.completion_tokens for row in rows),
    }


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
