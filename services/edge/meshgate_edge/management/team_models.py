"""Bodies of the endpoints for teams and their members."""

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from meshgate_edge.management.entity_models import ID, IDS_MAX, NAME, Metadata
from meshgate_edge.management.key_models import RULES_MAX, MemberName
from meshgate_edge.management.limits import LimitMembers
from meshgate_edge.management.managed_body import ManagedBody

ModelName = Annotated[str, Field(min_length=1, max_length=NAME)]

# LiteLLM's member of a team -> member of limits that its members get.
MEMBER_LIMITS = {
    "team_member_budget": "max_budget",
    "team_member_budget_duration": "budget_duration",
    "team_member_rpm_limit": "rpm_limit",
    "team_member_tpm_limit": "tpm_limit",
}


class MemberOfTeam(BaseModel):
    """A user, by id or by e-mail address."""

    user_id: str | None = Field(None, max_length=ID)
    user_email: str | None = Field(None, max_length=NAME)
    role: str = Field("user", description="user or admin")


class TeamMembers(ManagedBody):
    """LiteLLM's members of a team."""

    ACTED_ON: ClassVar[frozenset[str]] = frozenset(
        {"team_id", "team_alias", "organization_id", "models", "blocked", "metadata", "budget_id"}
        | {"members_with_roles", "admins", "members", *MEMBER_LIMITS}
    )
    RULES: ClassVar[frozenset[str]] = frozenset({"model_aliases", "enforced_params"})

    team_alias: str | None = Field(None, max_length=NAME)
    organization_id: str | None = Field(None, max_length=ID)
    models: list[str] | None = Field(None, max_length=IDS_MAX)
    blocked: bool | None = None
    metadata: Metadata | None = None
    budget_id: str | None = Field(None, max_length=ID)
    team_member_budget: Decimal | None = Field(None, description="USD for each member without an own budget.")
    team_member_budget_duration: str | None = None
    team_member_rpm_limit: int | None = None
    team_member_tpm_limit: int | None = None
    tags: list[str] | None = None
    model_aliases: dict[ModelName, ModelName] | None = Field(
        None, max_length=IDS_MAX, description="Requested name: model, for the calls of all its keys."
    )
    enforced_params: list[MemberName] | None = Field(
        None, max_length=RULES_MAX, description="Members that the calls of its keys must have."
    )

    def member_limits(self) -> tuple[LimitMembers, list[str]]:
        """What its members get, and the mask for what is given."""
        given = {
            name: getattr(self, member)
            for member, name in MEMBER_LIMITS.items()
            if member in self.model_fields_set
        }
        limits = LimitMembers(**given)
        return limits, limits.limit_paths("member_limits")


class NewTeamRequest(TeamMembers):
    """The id is made when absent."""

    team_id: str | None = Field(None, max_length=ID)
    members_with_roles: list[MemberOfTeam] | None = Field(None, max_length=IDS_MAX)
    admins: list[str] | None = Field(None, max_length=IDS_MAX)
    members: list[str] | None = Field(None, max_length=IDS_MAX)

    def everybody(self) -> list[MemberOfTeam]:
        """All who are named as members."""
        return [
            *(self.members_with_roles or ()),
            *(MemberOfTeam(user_id=each, role="admin") for each in self.admins or ()),
            *(MemberOfTeam(user_id=each) for each in self.members or ()),
        ]


class UpdateTeamRequest(TeamMembers):
    """Changes what is given; null removes."""

    team_id: str = Field(max_length=ID)


class TeamIds(BaseModel):
    """Teams."""

    team_ids: list[str] = Field(min_length=1, max_length=IDS_MAX)


class TeamId(BaseModel):
    """A team."""

    team_id: str = Field(max_length=ID)


class MemberLimits(BaseModel):
    """Of a member, within the team."""

    max_budget_in_team: Decimal | None = Field(None, description="USD")
    budget_duration: str | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    budget_id: str | None = Field(None, max_length=ID)

    def limits(self) -> tuple[LimitMembers, list[str]]:
        """And the mask for what is given."""
        names = {"max_budget_in_team": "max_budget"}
        shared = MemberLimits.model_fields.keys() - {"budget_id"}
        given = {names.get(each, each): getattr(self, each) for each in self.model_fields_set & shared}
        limits = LimitMembers(**given)
        paths = limits.limit_paths()
        return limits, [*paths, "budget_id"] if "budget_id" in self.model_fields_set else paths


class AddMembersRequest(MemberLimits):
    """One member, or several; the limits are those of each."""

    team_id: str = Field(max_length=ID)
    member: MemberOfTeam | list[MemberOfTeam]

    def everybody(self) -> list[MemberOfTeam]:
        return self.member if isinstance(self.member, list) else [self.member]


class UpdateMemberRequest(MemberLimits):
    """Changes what is given; null removes."""

    team_id: str = Field(max_length=ID)
    user_id: str | None = Field(None, max_length=ID)
    user_email: str | None = Field(None, max_length=NAME)
    role: str | None = None


class RemoveMemberRequest(BaseModel):
    """By id or by e-mail address."""

    team_id: str = Field(max_length=ID)
    user_id: str | None = Field(None, max_length=ID)
    user_email: str | None = Field(None, max_length=NAME)
