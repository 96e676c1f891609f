"""Management of organizations over HTTP."""

from fastapi import APIRouter, Request, Response

from meshgate_edge.management.entity_endpoints import EntityBodies
from meshgate_edge.management.entity_models import (
    NewOrganizationRequest,
    OrganizationIds,
    UpdateOrganizationRequest,
)
from meshgate_edge.management.entity_records import organization_json
from meshgate_edge.management.key_lists import PageNumber, PageSize
from meshgate_edge.management.management import PAGE_SIZE_MAX, Management, answered
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

KIND = pb.ENTITY_KIND_ORGANIZATION


class OrganizationEndpoints:
    """An organization has teams, and the keys that are made within them."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._bodies = EntityBodies(management, KIND)

    def router(self) -> APIRouter:
        """For a FastAPI application; LiteLLM's clients use PATCH and DELETE as well as POST."""
        router = APIRouter(tags=["organizations"])
        router.add_api_route("/organization/new", self.new, methods=["POST"])
        router.add_api_route("/organization/info", self.info, methods=["GET"])
        router.add_api_route("/organization/info", self.info_of_many, methods=["POST"])
        router.add_api_route("/organization/list", self.page, methods=["GET"])
        for method in ("POST", "PATCH"):
            router.add_api_route("/organization/update", self.update, methods=[method])
        for method in ("POST", "DELETE"):
            router.add_api_route("/organization/delete", self.delete, methods=[method])
        return router

    async def new(self, request: Request, body: NewOrganizationRequest) -> Response:
        """Makes an organization; its id is made when absent."""
        changed_by = await self._management.admin(request)
        entity_id = body.organization_id or self._management.parts.new_request_id()
        made = await self._bodies.create(body, entity_id, changed_by)
        return answered(organization_json(made, []), body.not_enforced(), entity_id)

    async def info(self, request: Request, organization_id: str) -> Response:
        """An organization, with its teams."""
        await self._management.reader(request)
        return answered(await self._row(await self._bodies.one(organization_id, "organization_id")))

    async def info_of_many(self, request: Request, body: OrganizationIds) -> Response:
        """Those that exist."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(
                kind=KIND, entity_ids=body.organization_ids, page=pb.Page(size=PAGE_SIZE_MAX)
            )
        )
        return answered([organization_json(each, []) for each in found])

    async def page(
        self,
        request: Request,
        page: PageNumber = 1,
        size: PageSize = 1_000,
        org_alias: str = "",
        org_id: str = "",
    ) -> Response:
        """Organizations, the newest first."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(
                kind=KIND,
                page=pb.Page(page=page, size=size),
                entity_ids=[org_id] if org_id else [],
                alias_contains=org_alias,
            )
        )
        return answered([organization_json(each, []) for each in found])

    async def update(self, request: Request, body: UpdateOrganizationRequest) -> Response:
        """Changes what is given; null removes."""
        changed_by = await self._management.admin(request)
        changed = await self._bodies.update(body, body.organization_id, changed_by)
        return answered(await self._row(changed), body.not_enforced(), body.organization_id)

    async def delete(self, request: Request, body: OrganizationIds) -> Response:
        """Teams and keys stay, without an organization."""
        changed_by = await self._management.admin(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(
                kind=KIND, entity_ids=body.organization_ids, page=pb.Page(size=PAGE_SIZE_MAX)
            )
        )
        deleted = await self._management.delete(KIND, body.organization_ids, changed_by)
        return answered([organization_json(each, []) for each in found if each.entity_id in deleted])

    async def _row(self, entity: pb.Entity) -> dict[str, object]:
        teams, _ = await self._management.entities(
            pb.ListEntitiesRequest(
                kind=pb.ENTITY_KIND_TEAM,
                organization_id=entity.entity_id,
                page=pb.Page(size=PAGE_SIZE_MAX),
            )
        )
        return organization_json(entity, [team.entity_id for team in teams])
