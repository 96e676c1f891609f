"""Management of the members of teams over HTTP: /team/member_add, member_update and member_delete."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import invalid_field
from meshgate_edge.management.entity_records import membership_json, team_json, user_json
from meshgate_edge.management.limits import limits_json
from meshgate_edge.management.management import LEDGER_TIMEOUT_S, PAGE_SIZE_MAX, Management, answered
from meshgate_edge.management.team_models import (
    AddMembersRequest,
    MemberLimits,
    MemberOfTeam,
    RemoveMemberRequest,
    UpdateMemberRequest,
)
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

NO_LIMITS = MemberLimits()


class TeamMemberships:
    """Who belongs to a team, as the ledger keeps it."""

    def __init__(self, management: Management) -> None:
        self._management = management

    async def add(
        self,
        team_id: str,
        everybody: Sequence[MemberOfTeam],
        changed_by: str,
        asked: MemberLimits = NO_LIMITS,
    ) -> list[pb.TeamMember]:
        """Users that do not exist are made. Who is a member already gets the role and what is given."""
        _, paths = asked.limits()
        members = await self.of(everybody, asked)
        return await self.put(team_id, members, ["role", "user_email", *paths], changed_by)

    async def of(
        self, everybody: Sequence[MemberOfTeam], asked: MemberLimits = NO_LIMITS
    ) -> list[pb.TeamMember]:
        """Members of a team, by the ids of users; who has none gets one, and the address that was given."""
        limits, _ = asked.limits()
        members, new = [], dict[str, str]()
        for each in everybody:
            user_id, email = each.user_id or await self._known(each.user_email), ""
            if user_id is None:
                email = each.user_email or ""
                user_id = new.setdefault(email.lower(), self._management.parts.new_request_id())
            member = pb.TeamMember(
                user_id=user_id, role=each.role, budget_id=asked.budget_id or "", user_email=email
            )
            member.limits.CopyFrom(limits.limits())
            members.append(member)
        return members

    async def put(
        self,
        team_id: str,
        members: Sequence[pb.TeamMember],
        paths: Sequence[str],
        changed_by: str,
        *,
        must_exist: bool = False,
    ) -> list[pb.TeamMember]:
        """Makes or changes members."""
        answer = await self._management.accounts.put_team_members(
            pb.PutTeamMembersRequest(
                request_id=self._management.parts.new_request_id(),
                team_id=team_id,
                members=members,
                update_mask=FieldMask(paths=paths),
                must_exist=must_exist,
                changed_by=changed_by,
            ),
            timeout_s=LEDGER_TIMEOUT_S,
        )
        return list(answer.members)

    async def user_id(self, user_id: str | None, email: str | None) -> str:
        """The id, else that of the user with the address. Raises `invalid_field`."""
        found = user_id or await self._known(email)
        if found is None:
            raise invalid_field("user_email", f"there is no user with the address {email!r}")
        return found

    async def _known(self, email: str | None) -> str | None:
        """The user with the address. Raises `invalid_field` without one."""
        if not email:
            raise invalid_field("member", "user_id or user_email is needed")
        return next(iter(await self._management.users_with(email)), None)


class TeamMemberEndpoints:
    """What was changed counts from the next call on."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._memberships = TeamMemberships(management)

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["teams"])
        router.add_api_route("/team/member_add", self.add, methods=["POST"])
        router.add_api_route("/team/member_update", self.update, methods=["POST"])
        router.add_api_route("/team/member_delete", self.remove, methods=["POST"])
        return router

    async def add(self, request: Request, body: AddMembersRequest) -> Response:
        """Adds members, each with the limits that are given; users that do not exist are made."""
        changed_by = await self._management.admin(request)
        added = await self._memberships.add(body.team_id, body.everybody(), changed_by, body)
        users, _ = await self._management.entities(
            pb.ListEntitiesRequest(
                kind=pb.ENTITY_KIND_USER,
                entity_ids=[member.user_id for member in added],
                page=pb.Page(size=PAGE_SIZE_MAX),
            )
        )
        return answered(
            await self._team(body.team_id)
            | {
                "updated_users": [user_json(user, [body.team_id]) for user in users],
                "updated_team_memberships": [membership_json(member) for member in added],
            }
        )

    async def update(self, request: Request, body: UpdateMemberRequest) -> Response:
        """Changes what is given; null removes."""
        changed_by = await self._management.admin(request)
        user_id = await self._memberships.user_id(body.user_id, body.user_email)
        limits, paths = body.limits()
        member = pb.TeamMember(user_id=user_id, budget_id=body.budget_id or "", limits=limits.limits())
        if body.role is not None:
            member.role = body.role
            paths.append("role")
        if not paths:
            raise invalid_field("max_budget_in_team", "nothing to change was given")
        (changed,) = await self._memberships.put(body.team_id, [member], paths, changed_by, must_exist=True)
        own = limits_json(changed.limits)
        return answered(
            {
                "team_id": changed.team_id,
                "user_id": changed.user_id,
                "user_email": changed.user_email or None,
                "role": changed.role,
                "max_budget_in_team": own["max_budget"],
                "budget_duration": own["budget_duration"],
                "rpm_limit": own["rpm_limit"],
                "tpm_limit": own["tpm_limit"],
                "budget_id": changed.budget_id or None,
            }
        )

    async def remove(self, request: Request, body: RemoveMemberRequest) -> Response:
        """Who leaves keeps their keys; within the team they have no limits of their own any more."""
        changed_by = await self._management.admin(request)
        user_id = await self._memberships.user_id(body.user_id, body.user_email)
        await self._management.accounts.remove_team_members(
            pb.RemoveTeamMembersRequest(
                request_id=self._management.parts.new_request_id(),
                team_id=body.team_id,
                user_ids=[user_id],
                changed_by=changed_by,
            ),
            timeout_s=LEDGER_TIMEOUT_S,
        )
        return answered(await self._team(body.team_id))

    async def _team(self, team_id: str) -> JsonObject:
        team = await self._management.get(pb.ENTITY_KIND_TEAM, team_id)
        return team_json(team, await self._management.members([team_id]))
