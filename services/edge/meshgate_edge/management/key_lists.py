"""Lists of virtual keys over HTTP, and whether one is well."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from meshgate_edge.management.key_records import row_json
from meshgate_edge.management.key_values import hash_of
from meshgate_edge.management.management import Management, answered, page_count
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

SortBy = Literal["created_at", "updated_at", "key_alias", "spend", "token"]
ORDERS = {
    "created_at": pb.ORDER_CREATED,
    "updated_at": pb.ORDER_UPDATED,
    "key_alias": pb.ORDER_ALIAS,
    "spend": pb.ORDER_SPEND,
    "token": pb.ORDER_ID,
}
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
PageSize = Annotated[int, Query(ge=1, le=1_000)]


class KeyListQuery(BaseModel):
    """Which keys, and in which order."""

    page: int = Field(1, ge=1, le=1_000_000)
    size: int = Field(10, ge=1, le=1_000)
    user_id: str = ""
    team_id: str = ""
    organization_id: str = ""
    key_alias: str = Field("", description="Some part of it")
    key_hash: str = Field("", description="The key or its hash")
    return_full_object: bool = False
    sort_by: SortBy = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"


class KeyListEndpoints:
    """The admin sees all keys, a key itself."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["keys"])
        router.add_api_route("/key/list", self.page, methods=["GET"])
        router.add_api_route("/key/aliases", self.aliases, methods=["GET"])
        router.add_api_route("/key/health", self.health, methods=["POST"])
        return router

    async def page(
        self,
        request: Request,
        asked: Annotated[KeyListQuery, Query()],
    ) -> Response:
        """Hashes of keys, or whole rows, page by page."""
        viewer = await self._management.viewer(request)
        hashes = [hash_of(asked.key_hash)] if asked.key_hash else []
        if viewer is not None:
            hashes = [viewer.key_hash]
        keys, total = await self._management.keys(
            pb.ListKeysRequest(
                page=pb.Page(page=asked.page, size=asked.size),
                key_hashes=hashes,
                user_ids=[asked.user_id] if asked.user_id else [],
                team_ids=[asked.team_id] if asked.team_id else [],
                organization_id=asked.organization_id,
                alias_contains=asked.key_alias,
                order=ORDERS[asked.sort_by],
                descending=asked.sort_order == "desc",
            )
        )
        return answered(
            {
                "keys": [row_json(key) if asked.return_full_object else key.key_hash for key in keys],
                "total_count": total,
                "current_page": asked.page,
                "total_pages": page_count(total, asked.size),
            }
        )

    async def aliases(
        self, request: Request, page: PageNumber = 1, size: PageSize = 1_000, search: str = ""
    ) -> Response:
        """All aliases, in their order."""
        await self._management.reader(request)
        keys, total = await self._management.keys(
            pb.ListKeysRequest(
                page=pb.Page(page=page, size=size),
                alias_contains=search,
                with_alias=True,
                order=pb.ORDER_ALIAS,
            )
        )
        return answered(
            {
                "aliases": [key.key_alias for key in keys],
                "total_count": total,
                "current_page": page,
                "total_pages": page_count(total, size),
                "size": size,
            }
        )

    async def health(self, request: Request) -> Response:
        """Whether the caller's key may call."""
        await self._management.account(request, self._management.principal(request))
        return answered({"key": "healthy", "logging_callbacks": None})
