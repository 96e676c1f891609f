"""Management of customers over HTTP: /customer/* and the same under /end_user/*.

A customer is an end user, as calls name them in `user`.
"""

from fastapi import APIRouter, Request, Response

from meshgate_edge.management.entity_endpoints import EntityBodies
from meshgate_edge.management.entity_models import CustomerMembers, UserIds
from meshgate_edge.management.entity_records import customer_json
from meshgate_edge.management.key_lists import PageNumber, PageSize
from meshgate_edge.management.management import Management, answered
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

KIND = pb.ENTITY_KIND_CUSTOMER
PREFIXES = ("/customer", "/end_user")


class CustomerEndpoints:
    """A customer who is blocked is refused at the next call."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._bodies = EntityBodies(management, KIND)

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["customers"])
        for prefix in PREFIXES:
            in_schema = prefix == PREFIXES[0]
            for path, endpoint, method in (
                ("new", self.new, "POST"),
                ("info", self.info, "GET"),
                ("list", self.page, "GET"),
                ("update", self.update, "POST"),
                ("delete", self.delete, "POST"),
                ("block", self.block, "POST"),
                ("unblock", self.unblock, "POST"),
            ):
                router.add_api_route(
                    f"{prefix}/{path}", endpoint, methods=[method], include_in_schema=in_schema
                )
        return router

    async def new(self, request: Request, body: CustomerMembers) -> Response:
        """Gives an end user a name, a budget or limits."""
        changed_by = await self._management.admin(request)
        made = await self._bodies.create(body, body.user_id, changed_by)
        return answered(customer_json(made), body.not_enforced(), body.user_id)

    async def info(self, request: Request, end_user_id: str) -> Response:
        """A customer, with what was spent for them."""
        await self._management.reader(request)
        return answered(customer_json(await self._bodies.one(end_user_id, "end_user_id")))

    async def page(self, request: Request, page: PageNumber = 1, size: PageSize = 1_000) -> Response:
        """Customers, the newest first."""
        await self._management.reader(request)
        found, _ = await self._management.entities(
            pb.ListEntitiesRequest(kind=KIND, page=pb.Page(page=page, size=size))
        )
        return answered([customer_json(each) for each in found])

    async def update(self, request: Request, body: CustomerMembers) -> Response:
        """Changes what is given; null removes."""
        changed_by = await self._management.admin(request)
        changed = await self._bodies.update(body, body.user_id, changed_by)
        return answered(customer_json(changed), body.not_enforced(), body.user_id)

    async def delete(self, request: Request, body: UserIds) -> Response:
        """Limits and blocks go, what was spent stays on the books."""
        changed_by = await self._management.admin(request)
        deleted = await self._management.delete(KIND, body.user_ids, changed_by)
        message = f"Successfully deleted customers with ids: {deleted}"
        return answered({"deleted_customers": len(deleted), "message": message})

    async def block(self, request: Request, body: UserIds) -> Response:
        """Also customers that nobody made before."""
        return await self._set_blocked(request, body, blocked=True)

    async def unblock(self, request: Request, body: UserIds) -> Response:
        """They may call again."""
        return await self._set_blocked(request, body, blocked=False)

    async def _set_blocked(self, request: Request, body: UserIds, *, blocked: bool) -> Response:
        changed_by = await self._management.admin(request)
        changed = [
            await self._management.update(
                pb.Entity(kind=KIND, entity_id=user_id, blocked=blocked),
                ["blocked"],
                changed_by,
                allow_missing=True,
            )
            for user_id in body.user_ids
        ]
        return answered({"blocked_users": [customer_json(each) for each in changed]})
