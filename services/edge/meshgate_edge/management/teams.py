"""Management of teams over HTTP: /team/* but for members."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from meshgate_chassis.chat.json import JsonObject
from meshgate_edge.management.entity_records import entity_of, membership_json, team_json
from meshgate_edge.management.key_lists import PageNumber, PageSize
from meshgate_edge.management.key_records import row_json
from meshgate_edge.management.management import PAGE_SIZE_MAX, Management, answered, not_own, page_count
from meshgate_edge.management.team_members import TeamMemberships
from meshgate_edge.management.team_models import (
    NewTeamRequest,
    TeamId,
    TeamIds,
    TeamMembers,
    UpdateTeamRequest,
)
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

KIND = pb.ENTITY_KIND_TEAM


class TeamListQuery(BaseModel):
    """Which teams."""

    user_id: str = Field("", description="Of this member")
    organization_id: str = ""
    team_id: str = ""
    team_alias: str = Field("", description="Some part of it")
    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(10, ge=1, le=1_000)


class TeamEndpoints:
    """Teams have keys and members. The holder of a team's key sees that team."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._memberships = TeamMemberships(management)

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["teams"])
        router.add_api_route("/team/new", self.new, methods=["POST"])
        router.add_api_route("/team/info", self.info, methods=["GET"])
        router.add_api_route("/team/list", self.whole_list, methods=["GET"])
        router.add_api_route("/v2/team/list", self.page, methods=["GET"])
        router.add_api_route("/team/update", self.update, methods=["POST"])
        router.add_api_route("/team/delete", self.delete, methods=["POST"])
        router.add_api_route("/team/block", self.block, methods=["POST"])
        router.add_api_route("/team/unblock", self.unblock, methods=["POST"])
        return router

    async def new(self, request: Request, body: NewTeamRequest | None = None) -> Response:
        """Makes a team and its members, or nothing; users that do not exist are made."""
        changed_by = await self._management.admin(request)
        body = self._management.parts.entity_rules.team(body or NewTeamRequest())
        team_id = body.team_id or self._management.parts.new_request_id()
        entity, _ = _team(body, team_id)
        entity.settings_json = body.settings_json()
        members = await self._memberships.of(body.everybody())
        made = await self._management.create(entity, changed_by, members)
        return answered(team_json(made.entity, list(made.members)), body.not_enforced(), team_id)

    async def info(self, request: Request, team_id: str) -> Response:
        """A team with its keys and memberships."""
        viewer = await self._management.viewer(request)
        if viewer is not None and viewer.team_id != team_id:
            raise not_own()
        entity = await self._management.get(KIND, team_id)
        members = await self._management.members([team_id])
        keys, _ = await self._management.keys(
            pb.ListKeysRequest(team_ids=[team_id], page=pb.Page(size=PAGE_SIZE_MAX))
        )
        return answered(
            {
                "team_id": team_id,
                "team_info": team_json(entity, members),
                "keys": [row_json(key) for key in keys],
                "team_memberships": [membership_json(member) for member in members],
            }
        )

    async def whole_list(
        self,
        request: Request,
        user_id: str = "",
        organization_id: str = "",
        page: PageNumber = 1,
        page_size: PageSize = 1_000,
    ) -> Response:
        """Teams as an array, the newest first."""
        await self._management.reader(request)
        asked = pb.ListEntitiesRequest(kind=KIND, organization_id=organization_id, member_user_id=user_id)
        rows, _ = await self._rows(asked, page, page_size)
        return answered(rows)

    async def page(
        self,
        request: Request,
        query: Annotated[TeamListQuery, Query()],
    ) -> Response:
        """Teams, page by page, the newest first."""
        await self._management.reader(request)
        asked = pb.ListEntitiesRequest(
            kind=KIND,
            organization_id=query.organization_id,
            member_user_id=query.user_id,
            entity_ids=[query.team_id] if query.team_id else [],
            alias_contains=query.team_alias,
        )
        rows, total = await self._rows(asked, query.page, query.page_size)
        return answered(
            {
                "teams": rows,
                "total": total,
                "page": query.page,
                "page_size": query.page_size,
                "total_pages": page_count(total, query.page_size),
            }
        )

    async def update(self, request: Request, body: UpdateTeamRequest) -> Response:
        """Changes what is given; null removes."""
        changed_by = await self._management.admin(request)
        entity, paths = _team(body, body.team_id)
        if body.kept():
            before = await self._management.get(KIND, body.team_id)
            entity.settings_json = body.settings_json(before.settings_json)
            paths.append("settings_json")
        changed = await self._management.update(entity, paths, changed_by)
        told = {"team_id": body.team_id, "data": await self._row(changed)}
        return answered(told, body.not_enforced(), body.team_id)

    async def delete(self, request: Request, body: TeamIds) -> Response:
        """With their keys and memberships; what was spent stays on the books."""
        changed_by = await self._management.admin(request)
        return answered({"deleted_teams": await self._management.delete(KIND, body.team_ids, changed_by)})

    async def block(self, request: Request, body: TeamId) -> Response:
        """The next call of all its keys is refused."""
        return await self._set_blocked(request, body.team_id, blocked=True)

    async def unblock(self, request: Request, body: TeamId) -> Response:
        """Its keys may call again."""
        return await self._set_blocked(request, body.team_id, blocked=False)

    async def _set_blocked(self, request: Request, team_id: str, *, blocked: bool) -> Response:
        changed_by = await self._management.admin(request)
        entity = pb.Entity(kind=KIND, entity_id=team_id, blocked=blocked)
        return answered(await self._row(await self._management.update(entity, ["blocked"], changed_by)))

    async def _row(self, entity: pb.Entity) -> JsonObject:
        return team_json(entity, await self._management.members([entity.entity_id]))

    async def _rows(
        self, asked: pb.ListEntitiesRequest, page: int, size: int
    ) -> tuple[list[JsonObject], int]:
        asked.page.CopyFrom(pb.Page(page=page, size=size))
        found, total = await self._management.entities(asked)
        members: dict[str, list[pb.TeamMember]] = {}
        for member in await self._management.members([each.entity_id for each in found]):
            members.setdefault(member.team_id, []).append(member)
        return [team_json(each, members.get(each.entity_id, [])) for each in found], total


def _team(body: TeamMembers, team_id: str) -> tuple[pb.Entity, list[str]]:
    """What is given of a team, and the mask for it."""
    entity, paths = entity_of(body, KIND, team_id)
    limits, member_paths = body.member_limits()
    entity.member_limits.CopyFrom(limits.limits())
    return entity, [*paths, *member_paths]
