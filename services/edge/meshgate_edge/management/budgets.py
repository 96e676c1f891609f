"""Management of budgets over HTTP: templates of limits that keys, users, customers and others share."""

from typing import Any

from fastapi import APIRouter, Request, Response

from meshgate_chassis.errors import invalid_field
from meshgate_edge.management.entity_models import BudgetId, BudgetIds, BudgetMembers, UpdateBudgetRequest
from meshgate_edge.management.entity_records import budget_json
from meshgate_edge.management.key_lists import PageNumber, PageSize
from meshgate_edge.management.limits import FIELDS
from meshgate_edge.management.management import Management, answered
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

KIND = pb.ENTITY_KIND_BUDGET


class BudgetEndpoints:
    """A changed budget counts at the next call of everybody who uses it."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["budgets"])
        router.add_api_route("/budget/new", self.new, methods=["POST"])
        router.add_api_route("/budget/info", self.info, methods=["POST"])
        router.add_api_route("/budget/update", self.update, methods=["POST"])
        router.add_api_route("/budget/list", self.page, methods=["GET"])
        router.add_api_route("/budget/settings", self.settings, methods=["GET"])
        router.add_api_route("/budget/delete", self.delete, methods=["POST"])
        return router

    async def new(self, request: Request, body: BudgetMembers) -> Response:
        """Makes a budget; its id is made when absent."""
        changed_by = await self._management.admin(request)
        budget_id = body.budget_id or self._management.parts.new_request_id()
        entity = pb.Entity(kind=KIND, entity_id=budget_id, limits=body.limits())
        return answered(budget_json((await self._management.create(entity, changed_by)).entity))

    async def info(self, request: Request, body: BudgetIds) -> Response:
        """Those that exist."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(kind=KIND, entity_ids=body.budgets, page=pb.Page(size=len(body.budgets)))
        )
        return answered([budget_json(each) for each in found])

    async def update(self, request: Request, body: UpdateBudgetRequest) -> Response:
        """Changes what is given, for everybody who uses the budget; null removes."""
        changed_by = await self._management.admin(request)
        paths = body.limit_paths()
        if not paths:
            raise invalid_field("max_budget", "nothing to change was given")
        entity = pb.Entity(kind=KIND, entity_id=body.budget_id, limits=body.limits())
        return answered(budget_json(await self._management.update(entity, paths, changed_by)))

    async def page(self, request: Request, page: PageNumber = 1, size: PageSize = 1_000) -> Response:
        """Budgets, the newest first."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(kind=KIND, page=pb.Page(page=page, size=size))
        )
        return answered([budget_json(each) for each in found])

    async def settings(self, request: Request, budget_id: str) -> Response:
        """What a budget can limit, and what this one does."""
        await self._management.reader(request)
        values = budget_json(await self._management.get(KIND, budget_id))
        return answered([_setting(name, values[name]) for name in FIELDS])

    async def delete(self, request: Request, body: BudgetId) -> Response:
        """Whoever used it keeps their own limits alone."""
        changed_by = await self._management.admin(request)
        before = await self._management.get(KIND, body.id)
        await self._management.delete(KIND, [body.id], changed_by)
        return answered(budget_json(before))


# LiteLLM's words for how a field is shown; all others are counts.
_TYPES = {
    "max_budget": "Float",
    "soft_budget": "Float",
    "budget_duration": "String",
    "budget_limits": "List",
    "model_max_budget": "Dictionary",
    "model_rpm_limit": "Dictionary",
    "model_tpm_limit": "Dictionary",
}


def _setting(name: str, value: Any) -> dict[str, Any]:
    field = BudgetMembers.model_fields[name]
    return {
        "field_name": name,
        "field_type": _TYPES.get(name, "Integer"),
        "field_description": field.description or "",
        "field_value": value,
        "stored_in_db": value is not None,
        "field_default_value": None,
    }
