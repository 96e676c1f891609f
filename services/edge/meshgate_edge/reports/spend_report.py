"""/global/spend/report: what was spent, as LiteLLM documents it. A virtual key is shown its own part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import invalid_field
from meshgate_edge.reports.access import ReportAccess
from meshgate_edge.reports.query import days_asked
from meshgate_edge.reports.rows import answered, exact_usd
from meshgate_edge.reports.spend_models import KEY_CHARACTERS_MAX, Name
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

ROWS_MAX: Final = 10_000
BY_KEY: Final = "api_key"


@dataclass(frozen=True, slots=True)
class Group:
    """What a day is divided into: its dimension, its field of a row, LiteLLM's names for all and for one."""

    dimension: "pb.Dimension.ValueType"
    field: str
    plural: str
    name: str


GROUPS: Final = {
    "team": Group(pb.DIMENSION_TEAM, "team_id", "teams", "team_name"),
    "customer": Group(pb.DIMENSION_END_USER, "end_user", "customers", "customer"),
    "internal_user": Group(pb.DIMENSION_USER, "user_id", "internal_users", "internal_user"),
    "model": Group(pb.DIMENSION_MODEL, "model", "models", "model"),
    "provider": Group(pb.DIMENSION_PROVIDER, "provider", "providers", "provider"),
    "tag": Group(pb.DIMENSION_TAG, "tag", "tags", "tag"),
}


class ReportQuery(BaseModel):
    """All that is given must hold."""

    model_config = ConfigDict(extra="ignore")

    start_date: str = Field("", description="2026-11-20")
    end_date: str = Field("", description="Included.")
    group_by: str = Field("", description="team (the default), customer, api_key, internal_user, model, ...")
    api_key: str = Field("", max_length=KEY_CHARACTERS_MAX, description="A key or its hash.")
    internal_user_id: Name = ""
    team_id: Name = ""
    customer_id: Name = ""


class SpendReportEndpoint:
    """Both dates are needed."""

    def __init__(self, access: ReportAccess) -> None:
        self._access = access

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["spend"])
        router.add_api_route("/global/spend/report", self.report, methods=["GET"])
        return router

    async def report(self, request: Request, asked: Annotated[ReportQuery, Query()]) -> Response:
        """By day and group, each with its keys and models. `api_key` and `internal_user_id` without group_by,
        and group_by=api_key: by key, each with its models, of the whole time."""
        viewer = await self._access.viewer(request)
        if asked.group_by not in ("", BY_KEY, *GROUPS):
            raise invalid_field("group_by", f"group_by must be one of {', '.join((*GROUPS, BY_KEY))}")
        wanted = viewer.filter(
            days_asked(asked.start_date, asked.end_date, self._access.now_ns(), required=True),
            asked.api_key,
            user_ids=[asked.internal_user_id],
            team_ids=[asked.team_id],
            end_users=[asked.customer_id],
        )
        default = BY_KEY if asked.api_key or asked.internal_user_id else "team"
        group = GROUPS.get(asked.group_by or default)
        if group is None:
            dimensions = [pb.DIMENSION_KEY, pb.DIMENSION_MODEL]
            return answered(_by_key(await self._access.sums(wanted, dimensions, ROWS_MAX, whole=True)))
        dimensions = [pb.DIMENSION_DAY, group.dimension, pb.DIMENSION_MODEL, pb.DIMENSION_KEY]
        rows = await self._access.sums(
            wanted, list(dict.fromkeys(dimensions)), ROWS_MAX, by_day=True, whole=True
        )
        return answered(_by_day(rows, group))


def _by_day(rows: Sequence[pb.SpendRow], group: Group) -> list[JsonObject]:
    days: dict[str, dict[str, JsonObject]] = {}
    for row in rows:
        value: str = getattr(row, group.field)
        name = row.team_alias or value or "Unassigned Team" if group.field == "team_id" else value
        parts = days.setdefault(row.day, {})
        part = parts.setdefault(value, {group.name: name, "total_spend": exact_usd(0), "metadata": []})
        part["total_spend"] += exact_usd(row.sums.spend_usd_nanos)
        part["metadata"].append(
            {
                "model": row.model,
                "spend": exact_usd(row.sums.spend_usd_nanos),
                "total_tokens": row.sums.prompt_tokens + row.sums.completion_tokens,
                "api_key": row.key_hash,
            }
        )
    return [
        {"group_by_day": f"{day}T00:00:00+00:00", group.plural: list(parts.values())}
        for day, parts in days.items()
    ]


def _by_key(rows: Sequence[pb.SpendRow]) -> list[JsonObject]:
    keys: dict[str, JsonObject] = {}
    for row in rows:
        key = keys.setdefault(row.key_hash, {"api_key": row.key_hash, **_NOTHING, "model_details": []})
        costs: dict[str, Any] = {
            "total_cost": exact_usd(row.sums.spend_usd_nanos),
            "total_input_tokens": row.sums.prompt_tokens,
            "total_output_tokens": row.sums.completion_tokens,
        }
        for name, value in costs.items():
            key[name] += value
        key["model_details"].append({"model": row.model, **costs})
    return list(keys.values())


_NOTHING: Final = {"total_cost": exact_usd(0), "total_input_tokens": 0, "total_output_tokens": 0}
