"""Management of users over HTTP: /user/*."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.management.callers import ADMIN_ROLE
from meshgate_edge.management.entity_endpoints import EntityBodies
from meshgate_edge.management.entity_models import NewUserRequest, TeamOfUser, UpdateUserRequest, UserIds
from meshgate_edge.management.entity_records import team_json, user_json
from meshgate_edge.management.key_models import GenerateKeyRequest
from meshgate_edge.management.key_records import generated_json, new_record, row_json
from meshgate_edge.management.key_values import new_key, usd_to_nanos
from meshgate_edge.management.management import (
    ADMIN_ID,
    PAGE_SIZE_MAX,
    Management,
    answered,
    not_own,
    page_count,
)
from meshgate_protos.ledger.v1 import account_service_pb2 as pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb

KIND = pb.ENTITY_KIND_USER
ORDERS = {
    "created_at": pb.ORDER_CREATED,
    "updated_at": pb.ORDER_UPDATED,
    "user_id": pb.ORDER_ID,
    "user_alias": pb.ORDER_ALIAS,
    "spend": pb.ORDER_SPEND,
}
SortBy = Literal["created_at", "updated_at", "user_id", "user_alias", "spend"]


class UserListQuery(BaseModel):
    """Which users, and in which order."""

    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(25, ge=1, le=1_000)
    role: str = ""
    user_ids: str = Field("", description="Divided by commas")
    user_email: str = Field("", description="Some part of it")
    sort_by: SortBy = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"


class UserEndpoints:
    """Users own keys. The holder of a user's key sees that user."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._parts = management.parts
        self._bodies = EntityBodies(management, KIND)

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["users"])
        router.add_api_route("/user/new", self.new, methods=["POST"])
        router.add_api_route("/user/info", self.info, methods=["GET"])
        router.add_api_route("/user/list", self.page, methods=["GET"])
        router.add_api_route("/user/update", self.update, methods=["POST"])
        router.add_api_route("/user/delete", self.delete, methods=["POST"])
        return router

    async def new(self, request: Request, body: NewUserRequest | None = None) -> Response:
        """Makes a user, its memberships, and a key unless auto_create_key is false: all of it, or nothing."""
        changed_by = await self._management.admin(request)
        body = self._parts.entity_rules.user(body or NewUserRequest())
        user_id = body.user_id or self._parts.new_request_id()
        teams = [TeamOfUser(team_id=each) if isinstance(each, str) else each for each in body.teams or ()]
        secret = new_key(self._parts.random_bytes)
        first = self._first_key(body, user_id, secret) if body.auto_create_key else None
        members = [_membership(team) for team in teams]
        made = await self._management.create(self._bodies.new(body, user_id), changed_by, members, first)
        key: JsonObject = {"key": None, "token": None, "key_name": None, "expires": None}
        if first is not None:
            key = generated_json(made.key, secret)
        told = key | user_json(made.entity, [team.team_id for team in teams])
        return answered(told, body.not_enforced(), user_id)

    async def info(self, request: Request, user_id: str = "") -> Response:
        """A user with keys and teams; without an id the caller's own."""
        viewer = await self._management.viewer(request)
        if viewer is not None:
            if user_id not in ("", viewer.user_id):
                raise not_own()
            user_id = viewer.user_id
        entity = await self._management.find(KIND, user_id or ADMIN_ID)
        if entity is None and user_id not in ("", ADMIN_ID):
            entity = await self._bodies.one(user_id, "user_id")  # raises
        user_id = user_id or ADMIN_ID
        keys, _ = await self._management.keys(
            pb.ListKeysRequest(user_ids=[user_id], page=pb.Page(size=PAGE_SIZE_MAX))
        )
        memberships = await self._management.members(user_ids=[user_id])
        team_ids = [each.team_id for each in memberships]
        teams: list[pb.Entity] = []
        if team_ids:
            teams, _ = await self._management.entities(
                pb.ListEntitiesRequest(
                    kind=pb.ENTITY_KIND_TEAM,
                    entity_ids=team_ids[:PAGE_SIZE_MAX],
                    page=pb.Page(size=PAGE_SIZE_MAX),
                )
            )
        admin = {"user_id": ADMIN_ID, "user_role": ADMIN_ROLE, "teams": []}
        return answered(
            {
                "user_id": user_id,
                "user_info": admin if entity is None else user_json(entity, team_ids),
                "keys": [row_json(key) for key in keys],
                "teams": [team_json(team, []) for team in teams],
            }
        )

    async def page(
        self,
        request: Request,
        asked: Annotated[UserListQuery, Query()],
    ) -> Response:
        """Users, page by page."""
        await self._management.reader(request)
        found, total = await self._management.entities(
            pb.ListEntitiesRequest(
                kind=KIND,
                page=pb.Page(page=asked.page, size=asked.page_size),
                entity_ids=[each.strip() for each in asked.user_ids.split(",") if each.strip()],
                email_contains=asked.user_email,
                role=asked.role,
                order=ORDERS[asked.sort_by],
                descending=asked.sort_order == "desc",
            )
        )
        teams: dict[str, list[str]] = {}
        for member in await self._management.members(user_ids=[each.entity_id for each in found]):
            teams.setdefault(member.user_id, []).append(member.team_id)
        return answered(
            {
                "users": [user_json(each, teams.get(each.entity_id, [])) for each in found],
                "total": total,
                "page": asked.page,
                "page_size": asked.page_size,
                "total_pages": page_count(total, asked.page_size),
            }
        )

    async def update(self, request: Request, body: UpdateUserRequest) -> Response:
        """Changes what is given; null removes. The user is named by id, else by address."""
        changed_by = await self._management.admin(request)
        user_id = body.user_id or await self._with_address(body.user_email)
        changed = await self._bodies.update(body, user_id, changed_by)
        teams = [each.team_id for each in await self._management.members(user_ids=[user_id])]
        told = {"user_id": user_id, "data": user_json(changed, teams)}
        return answered(told, body.not_enforced(), user_id)

    async def delete(self, request: Request, body: UserIds) -> Response:
        """With their keys and memberships; what was spent stays on the books. Answers how many."""
        changed_by = await self._management.admin(request)
        return answered(len(await self._management.delete(KIND, body.user_ids, changed_by)))

    async def _with_address(self, email: str | None) -> str:
        """Raises `invalid_field` when several have it, NOT_FOUND/ENTITY_NOT_FOUND when nobody has."""
        if not email:
            raise invalid_field("user_id", "user_id or user_email is needed")
        found = await self._management.users_with(email)
        if len(found) > 1:
            raise invalid_field("user_email", f"{len(found)} users have the address: name one by user_id")
        if not found:
            raise MeshError(
                Code.NOT_FOUND, "ENTITY_NOT_FOUND", f"there is no user with the address {email!r}"
            )
        return found[0]

    def _first_key(self, body: NewUserRequest, user_id: str, secret: str) -> ledger_pb.Key:
        members = body.model_dump(include={"key_alias", "duration", "aliases", "team_id"}, exclude_unset=True)
        asked = self._parts.key_rules.applied(GenerateKeyRequest(user_id=user_id, **members))
        return new_record(asked, secret, self._parts.clock.now_ns())


def _membership(team: TeamOfUser) -> pb.TeamMember:
    member = pb.TeamMember(team_id=team.team_id, role="admin" if team.user_role == "admin" else "user")
    if team.max_budget_in_team is not None:
        member.limits.max_budget_usd_nanos = usd_to_nanos(team.max_budget_in_team, "max_budget_in_team")
    return member
