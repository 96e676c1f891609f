"""Bodies of the endpoints for users, customers, budgets, organizations and tags."""

from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field, JsonValue

from meshgate_edge.management.key_models import ACTED_ON as KEY_ACTED_ON
from meshgate_edge.management.limits import LimitMembers
from meshgate_edge.management.managed_body import ManagedBody

ID = 200
NAME = 256
IDS_MAX = 1_000
Metadata = dict[str, JsonValue]


class UserMembers(ManagedBody):
    """LiteLLM's members of a user."""

    ACTED_ON: ClassVar[frozenset[str]] = frozenset(
        {"user_id", "user_email", "user_alias", "user_role", "models", "metadata", "blocked", "budget_id"}
        | {"organization_id"}
    )

    user_email: str | None = Field(None, max_length=NAME)
    user_alias: str | None = Field(None, max_length=NAME)
    user_role: str | None = Field(
        None, description="proxy_admin may manage; proxy_admin_viewer, internal_user, internal_user_viewer."
    )
    models: list[str] | None = Field(None, max_length=IDS_MAX)
    organization_id: str | None = Field(None, max_length=ID)
    budget_id: str | None = Field(None, max_length=ID)
    metadata: Metadata | None = None
    blocked: bool | None = None


class TeamOfUser(BaseModel):
    """A team that a new user joins."""

    team_id: str = Field(max_length=ID)
    max_budget_in_team: float | None = None
    user_role: str | None = None


class NewUserRequest(UserMembers):
    """Limits and models are the user's; the other members of /key/generate are those of the first key."""

    ACTED_ON: ClassVar[frozenset[str]] = (
        UserMembers.ACTED_ON | KEY_ACTED_ON | {"teams", "auto_create_key", "send_invite_email"}
    )

    user_id: str | None = Field(None, max_length=ID, description="Made when absent.")
    teams: list[str | TeamOfUser] | None = Field(None, max_length=100)
    auto_create_key: bool = Field(True, description="Whether a key is made as well.")
    key_alias: str | None = Field(None, max_length=NAME)
    duration: str | None = Field(None, description="Until the key expires.")
    aliases: dict[str, str] | None = Field(None, max_length=IDS_MAX)
    team_id: str | None = Field(None, max_length=ID, description="The key's team.")


class UpdateUserRequest(UserMembers):
    """Changes what is given; null removes. Without an id it is the one user with this address."""

    user_id: str | None = Field(None, max_length=ID)


class UserIds(BaseModel):
    """Users, or customers."""

    user_ids: list[str] = Field(min_length=1, max_length=IDS_MAX)


class CustomerMembers(ManagedBody):
    """LiteLLM's members of a customer: an end user, as calls name them in `user`."""

    ACTED_ON: ClassVar[frozenset[str]] = frozenset({"user_id", "alias", "blocked", "budget_id", "metadata"})

    user_id: str = Field(max_length=ID, validation_alias=AliasChoices("user_id", "end_user_id"))
    alias: str | None = Field(None, max_length=NAME)
    blocked: bool | None = None
    budget_id: str | None = Field(None, max_length=ID)
    metadata: Metadata | None = None
    allowed_model_region: str | None = None
    default_model: str | None = None


class BudgetMembers(LimitMembers):
    """A template of limits; keys, users, customers and others name it as their budget_id."""

    budget_id: str | None = Field(None, max_length=ID)


class UpdateBudgetRequest(BudgetMembers):
    """Changes what is given, for everybody who uses the budget; null removes."""

    budget_id: str = Field(max_length=ID)


class BudgetIds(BaseModel):
    """Budgets."""

    budgets: list[str] = Field(min_length=1, max_length=IDS_MAX)


class BudgetId(BaseModel):
    """A budget."""

    id: str = Field(max_length=ID)


class OrganizationMembers(ManagedBody):
    """LiteLLM's members of an organization."""

    ACTED_ON: ClassVar[frozenset[str]] = frozenset(
        {"organization_id", "organization_alias", "models", "budget_id", "metadata", "blocked"}
    )

    organization_alias: str | None = Field(None, max_length=NAME)
    models: list[str] | None = Field(None, max_length=IDS_MAX)
    budget_id: str | None = Field(None, max_length=ID)
    metadata: Metadata | None = None
    blocked: bool | None = None


class NewOrganizationRequest(OrganizationMembers):
    """The id is made when absent."""

    organization_id: str | None = Field(None, max_length=ID)


class UpdateOrganizationRequest(OrganizationMembers):
    """Changes what is given; null removes."""

    organization_id: str = Field(max_length=ID)


class OrganizationIds(BaseModel):
    """Organizations."""

    organization_ids: list[str] = Field(
        min_length=1,
        max_length=IDS_MAX,
        validation_alias=AliasChoices("organization_ids", "organizations"),
    )


class TagMembers(ManagedBody):
    """A tag that calls and keys may have."""

    ACTED_ON: ClassVar[frozenset[str]] = frozenset({"name", "description", "budget_id", "blocked"})

    name: str = Field(max_length=ID)
    description: str | None = Field(None, max_length=NAME)
    budget_id: str | None = Field(None, max_length=ID)
    blocked: bool | None = None
    models: list[str] | None = Field(None, max_length=IDS_MAX)


class TagNames(BaseModel):
    """Tags."""

    names: list[str] = Field(min_length=1, max_length=IDS_MAX)


class TagName(BaseModel):
    """A tag."""

    name: str = Field(max_length=ID)
