"""/spend/*: postings one by one, what keys, users and tags spent, and what a call would cost."""

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.errors import invalid_field
from meshgate_edge.management.key_values import usd_to_nanos
from meshgate_edge.reports.access import REPORT_TIMEOUT_S, ReportAccess
from meshgate_edge.reports.query import days_asked, offset_of, parse_end, parse_start
from meshgate_edge.reports.rows import (
    FAILURES,
    SUCCESSES,
    answer_id,
    answered,
    entries_json,
    exact_usd,
    key_row_json,
    page_json,
)
from meshgate_edge.reports.spend_models import ROWS_MAX, CalculateRequest, GivenName, Limit, LogPage, Logs
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

PAGE_DAYS = 31
STATUSES = {"success": SUCCESSES, "failure": FAILURES}


class SpendEndpoints:
    """The admin sees all, a virtual key what was spent with itself."""

    def __init__(self, access: ReportAccess) -> None:
        self._access = access

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["spend"])
        router.add_api_route("/spend/logs", self.logs, methods=["GET"])
        router.add_api_route("/spend/logs/ui", self.log_page, methods=["GET"])
        router.add_api_route("/spend/logs/v2", self.log_page, methods=["GET"])
        router.add_api_route("/spend/keys", self.keys, methods=["GET"])
        router.add_api_route("/spend/users", self.users, methods=["GET"])
        router.add_api_route("/spend/tags", self.tags, methods=["GET"])
        router.add_api_route("/spend/calculate", self.calculate, methods=["POST"])
        return router

    async def logs(self, request: Request, query: Logs) -> Response:
        """Rows, newest first. With both dates sums by day, the oldest first, unless `summarize=false`."""
        viewer = await self._access.viewer(request)
        users = [query.user_id]
        if query.start_date and query.end_date and query.summarize and not query.request_id:
            days = days_asked(query.start_date, query.end_date, self._access.now_ns())
            return answered(await self._by_day(viewer.filter(days, query.api_key, user_ids=users)))
        asked = pb.ListEntriesRequest(
            filter=viewer.filter(None, query.api_key, user_ids=users),
            start_time=parse_start(query.start_date),
            end_time=parse_end(query.end_date),
            request_id=answer_id(query.request_id),
            limit=query.limit,
            offset=offset_of(query.page, query.limit),
        )
        found = await self._access.reports.list_entries(asked, timeout_s=REPORT_TIMEOUT_S)
        return answered(entries_json(found.entries, query.request_id))

    async def log_page(self, request: Request, query: LogPage) -> Response:
        """A page of rows, newest first. `total` counts up to 10,000; `total_is_at_least`: there are more."""
        viewer = await self._access.viewer(request)
        if not query.start_date or not query.end_date:
            raise invalid_field("start_date", "start_date and end_date are needed")
        wanted = viewer.filter(
            None,
            query.api_key,
            user_ids=[query.user_id],
            team_ids=[query.team_id],
            end_users=[query.end_user],
            models=[query.model.removeprefix(f"{query.provider}/")],
            model_groups=[query.model_group],
            providers=[query.provider],
            tags=[query.tag],
        )
        least, most = query.min_spend, query.max_spend
        asked = pb.ListEntriesRequest(
            filter=wanted,
            start_time=parse_start(query.start_date),
            end_time=parse_end(query.end_date),
            request_id=answer_id(query.request_id),
            outcomes=STATUSES.get(query.status_filter, ()),
            spend_usd_nanos_min=None if least is None else usd_to_nanos(least, "min_spend"),
            spend_usd_nanos_max=None if most is None else usd_to_nanos(most, "max_spend"),
            limit=query.page_size,
            offset=offset_of(query.page, query.page_size),
            count=True,
        )
        found = await self._access.reports.list_entries(asked, timeout_s=REPORT_TIMEOUT_S)
        rows = entries_json(found.entries, query.request_id)
        told = page_json(rows, found.total, query.page, query.page_size)
        return answered(told | {"total_is_at_least": found.total_is_at_least})

    async def keys(self, request: Request, limit: Limit = ROWS_MAX) -> Response:
        """Keys by what they spent in their whole life."""
        viewer = await self._access.viewer(request)
        found = await self._accounts("key", viewer.key_hash or "", limit)
        return answered([key_row_json(account) for account in found])

    async def users(
        self,
        request: Request,
        user_id: GivenName = "",
        limit: Limit = ROWS_MAX,
    ) -> Response:
        """Users by what they spent in their whole life; a key is shown what it spent itself."""
        viewer = await self._access.viewer(request)
        if viewer.key_hash is not None:
            rows = await self._access.sums(viewer.filter(user_ids=[user_id]), [pb.DIMENSION_USER], limit)
            own = [row for row in rows if row.user_id]
            return answered(
                [{"user_id": row.user_id, "spend": exact_usd(row.sums.spend_usd_nanos)} for row in own]
            )
        told = []
        for account in await self._accounts("user", user_id, limit):
            budget = account.max_budget_usd_nanos if account.HasField("max_budget_usd_nanos") else None
            told.append(
                {
                    "user_id": account.id,
                    "spend": exact_usd(account.spend_usd_nanos),
                    "max_budget": None if budget is None else exact_usd(budget),
                }
            )
        return answered(told)

    async def tags(self, request: Request, start_date: str = "", end_date: str = "") -> Response:
        """Tags by what was spent under them; without dates ever."""
        viewer = await self._access.viewer(request)
        days = days_asked(start_date, end_date, self._access.now_ns()) if start_date or end_date else None
        rows = await self._access.sums(viewer.filter(days), [pb.DIMENSION_TAG])
        return answered(
            [
                {
                    "individual_request_tag": row.tag,
                    "log_count": row.sums.requests,
                    "total_spend": exact_usd(row.sums.spend_usd_nanos),
                }
                for row in rows
            ]
        )

    async def calculate(self, request: Request, body: CalculateRequest) -> Response:
        """What a call would cost: its prompt, or an answer by its usage."""
        await self._access.viewer(request)
        asked = self._priced_call(body)
        answer = await self._access.reports.price_call(asked, timeout_s=REPORT_TIMEOUT_S)
        if not answer.known:
            raise invalid_field("model", f"no price is known for the model {asked.model}")
        return answered({"cost": exact_usd(answer.cost_usd_nanos)})

    def _priced_call(self, body: CalculateRequest) -> pb.PriceCallRequest:
        if body.completion_response is not None:
            usage = body.completion_response.get("usage")
            model = body.model or body.completion_response.get("model")
            if not isinstance(usage, dict) or not isinstance(model, str) or not model:
                raise invalid_field("completion_response", "completion_response needs a model and its usage")
            details = usage.get("prompt_tokens_details")
            return pb.PriceCallRequest(
                model=model,
                prompt_tokens=_count(usage, "prompt_tokens"),
                completion_tokens=_count(usage, "completion_tokens"),
                cached_tokens=_count(details, "cached_tokens") if isinstance(details, dict) else 0,
            )
        if not body.model or body.messages is None:
            raise invalid_field("model", "model and messages, or completion_response, are needed")
        prompt = request_from_json({"model": body.model, "messages": body.messages})
        return pb.PriceCallRequest(model=body.model, prompt_tokens=self._access.parts.counter.prompt(prompt))

    async def _accounts(self, kind: str, account_id: str, limit: int) -> list[pb.AccountSpend]:
        asked = pb.ListAccountSpendRequest(kind=kind, ids=[account_id] if account_id else (), limit=limit)
        answer = await self._access.reports.list_account_spend(asked, timeout_s=REPORT_TIMEOUT_S)
        return list(answer.accounts)

    async def _by_day(self, wanted: pb.SpendFilter) -> list[JsonObject]:
        """LiteLLM's summary: keys of a day are its members."""
        told: list[JsonObject] = []
        for page in range(1, 13):  # 366 days
            found = await self._access.activity(wanted, pb.DIMENSION_USER, page, PAGE_DAYS)
            for day in found.days:
                row: JsonObject = {"startTime": day.day, "spend": exact_usd(day.sums.spend_usd_nanos)}
                row |= {"users": {}, "models": {}}
                for part in day.parts:
                    amount = exact_usd(part.sums.spend_usd_nanos)
                    if part.dimension == pb.DIMENSION_USER:
                        row["users"][part.value] = amount
                    elif part.dimension == pb.DIMENSION_MODEL:
                        row["models"][part.value] = amount
                    elif part.dimension == pb.DIMENSION_KEY and part.value:
                        row[part.value] = amount
                told.append(row)
            if len(told) >= found.day_count:
                break
        return told[::-1]


def _count(usage: dict[str, JsonValue], name: str) -> int:
    value = usage.get(name, 0)
    if type(value) is not int or value < 0:
        raise invalid_field(f"usage.{name}", "must be a count")
    return value
