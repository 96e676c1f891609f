"""Management of tags over HTTP: budgets and limits for calls that have a tag."""

from fastapi import APIRouter, Request, Response

from meshgate_edge.management.entity_endpoints import EntityBodies
from meshgate_edge.management.entity_models import TagMembers, TagName, TagNames
from meshgate_edge.management.entity_records import tag_json
from meshgate_edge.management.key_lists import PageNumber, PageSize
from meshgate_edge.management.management import PAGE_SIZE_MAX, Management, answered
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

KIND = pb.ENTITY_KIND_TAG


class TagEndpoints:
    """Calls and keys may have tags that nobody made here; those are in the reports alone."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._bodies = EntityBodies(management, KIND)

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["tags"])
        router.add_api_route("/tag/new", self.new, methods=["POST"])
        router.add_api_route("/tag/info", self.info, methods=["POST"])
        router.add_api_route("/tag/update", self.update, methods=["POST"])
        router.add_api_route("/tag/list", self.page, methods=["GET"])
        router.add_api_route("/tag/delete", self.delete, methods=["POST"])
        return router

    async def new(self, request: Request, body: TagMembers) -> Response:
        """Gives a tag a budget or limits."""
        changed_by = await self._management.admin(request)
        made = await self._bodies.create(body, body.name, changed_by)
        message = f"Tag {body.name} created successfully"
        return answered({"message": message, "tag": tag_json(made)}, body.not_enforced(), body.name)

    async def info(self, request: Request, body: TagNames) -> Response:
        """Those that exist, by their names."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(kind=KIND, entity_ids=body.names, page=pb.Page(size=PAGE_SIZE_MAX))
        )
        return answered({each.entity_id: tag_json(each) for each in found})

    async def update(self, request: Request, body: TagMembers) -> Response:
        """Changes what is given; null removes."""
        changed_by = await self._management.admin(request)
        changed = await self._bodies.update(body, body.name, changed_by)
        message = f"Tag {body.name} updated successfully"
        return answered({"message": message, "tag": tag_json(changed)}, body.not_enforced(), body.name)

    async def page(self, request: Request, page: PageNumber = 1, size: PageSize = 1_000) -> Response:
        """Tags, the newest first."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(kind=KIND, page=pb.Page(page=page, size=size))
        )
        return answered([tag_json(each) for each in found])

    async def delete(self, request: Request, body: TagName) -> Response:
        """Its limits go, what was spent stays on the books."""
        changed_by = await self._management.admin(request)
        await self._management.delete(KIND, [body.name], changed_by)
        return answered({"message": f"Tag {body.name} deleted successfully"})
