"""/global/spend/*: what everybody together spent, by everything. A virtual key is shown its own part."""

from decimal import Decimal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from meshgate_chassis.chat.json import JsonObject
from meshgate_edge.reports.access import REPORT_TIMEOUT_S, ReportAccess
from meshgate_edge.reports.query import days_asked
from meshgate_edge.reports.rows import answered, exact_usd
from meshgate_edge.reports.spend_models import KEY_CHARACTERS_MAX, GivenKey, Limit
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

TOP_DEFAULT = 10
TOP_MAX = 1_000
DAILY_ROWS_MAX = 10_000


class EndUsersRequest(BaseModel):
    """LiteLLM's; all optional."""

    model_config = ConfigDict(extra="ignore")

    api_key: str | None = Field(None, max_length=KEY_CHARACTERS_MAX)
    start_time: str | None = Field(None, alias="startTime")
    end_time: str | None = Field(None, alias="endTime")


class GlobalSpendEndpoints:
    """Without dates the last 30 days."""

    def __init__(self, access: ReportAccess) -> None:
        self._access = access

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["spend"], prefix="/global/spend")
        router.add_api_route("", self.total, methods=["GET"])
        router.add_api_route("/logs", self.by_day, methods=["GET"])
        router.add_api_route("/keys", self.keys, methods=["GET"])
        router.add_api_route("/models", self.models, methods=["GET"])
        router.add_api_route("/teams", self.teams, methods=["GET"])
        router.add_api_route("/tags", self.tags, methods=["GET"])
        router.add_api_route("/all_tag_names", self.tag_names, methods=["GET"])
        router.add_api_route("/provider", self.providers, methods=["GET"])
        router.add_api_route("/end_users", self.end_users, methods=["POST"])
        router.add_api_route("/reset", self.reset, methods=["POST"])
        return router

    async def total(self, request: Request) -> Response:
        """Of everybody's whole life, and the gateway's budget."""
        viewer = await self._access.viewer(request)
        if viewer.key_hash is not None:
            [row] = await self._access.sums(viewer.filter(), [])
            return answered({"spend": exact_usd(row.sums.spend_usd_nanos), "max_budget": None})
        found = await self._access.reports.get_total_spend(
            pb.GetTotalSpendRequest(), timeout_s=REPORT_TIMEOUT_S
        )
        has_budget = found.HasField("max_budget_usd_nanos")
        budget = exact_usd(found.max_budget_usd_nanos) if has_budget else None
        return answered({"spend": exact_usd(found.spend_usd_nanos), "max_budget": budget})

    async def by_day(
        self, request: Request, api_key: GivenKey = "", start_date: str = "", end_date: str = ""
    ) -> Response:
        """The oldest first."""
        viewer = await self._access.viewer(request)
        days = days_asked(start_date, end_date, self._access.now_ns())
        rows = await self._access.sums(viewer.filter(days, api_key), [pb.DIMENSION_DAY], by_day=True)
        return answered([{"date": row.day, "spend": _usd(row)} for row in rows])

    async def keys(
        self, request: Request, limit: Limit = TOP_DEFAULT, start_date: str = "", end_date: str = ""
    ) -> Response:
        """Those that spent most."""
        rows = await self._top(request, pb.DIMENSION_KEY, limit, (start_date, end_date))
        return answered(
            [
                {
                    "api_key": row.key_hash,
                    "key_alias": row.key_alias or None,
                    "key_name": row.key_name or None,
                    "total_spend": _usd(row),
                }
                for row in rows
            ]
        )

    async def models(
        self, request: Request, limit: Limit = TOP_DEFAULT, start_date: str = "", end_date: str = ""
    ) -> Response:
        """Those that most was spent on, by the provider's name."""
        rows = await self._top(request, pb.DIMENSION_MODEL, limit, (start_date, end_date))
        return answered([{"model": row.model, "total_spend": _usd(row)} for row in rows])

    async def providers(self, request: Request, start_date: str = "", end_date: str = "") -> Response:
        """All of them."""
        rows = await self._top(request, pb.DIMENSION_PROVIDER, TOP_MAX, (start_date, end_date))
        return answered([{"provider": row.provider, "spend": _usd(row)} for row in rows])

    async def teams(self, request: Request, start_date: str = "", end_date: str = "") -> Response:
        """Day by day, and in all; by their aliases, those that have one. Teams of one alias are one."""
        viewer = await self._access.viewer(request)
        wanted = viewer.filter(days_asked(start_date, end_date, self._access.now_ns()))
        group_by = [pb.DIMENSION_DAY, pb.DIMENSION_TEAM]
        rows = await self._access.sums(wanted, group_by, DAILY_ROWS_MAX, by_day=True)
        totals = await self._access.sums(wanted, [pb.DIMENSION_TEAM])
        nothing = exact_usd(0)
        daily: dict[str, JsonObject] = {}
        for row in rows:
            day, name = daily.setdefault(row.day, {"date": row.day}), _team(row)
            day[name] = day.get(name, nothing) + _usd(row)
        named: JsonObject = {}
        for row in totals:
            named[_team(row)] = named.get(_team(row), nothing) + _usd(row)
        return answered(
            {
                "daily_spend": list(daily.values()),
                "teams": list(named),
                "total_spend_per_team": [
                    {"team_id": team, "total_spend": spend} for team, spend in named.items()
                ],
            }
        )

    async def tags(
        self, request: Request, start_date: str = "", end_date: str = "", tags: GivenKey = ""
    ) -> Response:
        """By tag; `tags`: only these, with commas between them. Both dates are needed."""
        viewer = await self._access.viewer(request)
        days = days_asked(start_date, end_date, self._access.now_ns(), required=True)
        asked = [] if tags in ("", "all-tags") else [tag.strip() for tag in tags.split(",")]
        rows = await self._access.sums(viewer.filter(days, tags=asked), [pb.DIMENSION_TAG])
        told = [{"name": row.tag, "spend": _usd(row), "log_count": row.sums.requests} for row in rows]
        return answered({"spend_per_tag": told})

    async def tag_names(self, request: Request) -> Response:
        """Every tag that anything was spent under."""
        viewer = await self._access.viewer(request)
        found = await self._access.reports.list_tags(
            pb.ListTagsRequest(filter=viewer.filter()), timeout_s=REPORT_TIMEOUT_S
        )
        return answered({"tag_names": list(found.tags)})

    async def end_users(self, request: Request, body: EndUsersRequest | None = None) -> Response:
        """Customers that most was spent for."""
        viewer = await self._access.viewer(request)
        asked = body or EndUsersRequest()
        days = days_asked(asked.start_time, asked.end_time, self._access.now_ns())
        wanted = viewer.filter(days, asked.api_key or "")
        rows = await self._access.sums(wanted, [pb.DIMENSION_END_USER], 100)
        return answered(
            [
                {"end_user": row.end_user, "total_count": row.sums.requests, "total_spend": _usd(row)}
                for row in rows
            ]
        )

    async def reset(self, request: Request) -> Response:
        """Every budget begins anew. What was posted stays, so reports do not change."""
        self._access.admin(request)
        await self._access.reports.reset_spend(
            pb.ResetSpendRequest(request_id=self._access.parts.new_request_id()), timeout_s=REPORT_TIMEOUT_S
        )
        return answered(
            {"message": "Spend for all API Keys and Teams reset successfully", "status": "success"}
        )

    async def _top(
        self, request: Request, dimension: "pb.Dimension.ValueType", limit: int, dates: tuple[str, str]
    ) -> list[pb.SpendRow]:
        viewer = await self._access.viewer(request)
        days = days_asked(*dates, self._access.now_ns())
        return await self._access.sums(viewer.filter(days), [dimension], limit)


def _usd(row: pb.SpendRow) -> Decimal:
    return exact_usd(row.sums.spend_usd_nanos)


def _team(row: pb.SpendRow) -> str:
    """What LiteLLM calls it."""
    return row.team_alias or row.team_id or "Unassigned"
