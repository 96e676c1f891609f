"""The words of management: entities, members, pages. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from meshgate_ledger.account_ids import member_account
from meshgate_ledger.call_rules import NO_TEAM_RULES, TeamRules, team_rules
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PAGE_SIZE = 100
IDS_MAX = 1_000


class EntityKind(StrEnum):
    """As the first part of an account's id."""

    USER = "user"
    TEAM = "team"
    ORGANIZATION = "organization"
    CUSTOMER = "customer"
    TAG = "tag"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Entity:
    """Whoever may have limits and rules besides a key. Empty text: none; see account_service.proto."""

    kind: EntityKind
    entity_id: str
    alias: str = ""
    email: str = ""
    role: str = ""
    organization_id: str = ""
    models: tuple[str, ...] = ()
    blocked: bool = False
    budget_id: str = ""
    limits: LimitPlan = NO_LIMITS
    member_limits: LimitPlan = NO_LIMITS
    metadata_json: str = ""
    settings_json: str = ""
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    created_by: str = ""
    updated_by: str = ""

    @property
    def account_id(self) -> str:
        """Not of a budget: it has none."""
        return f"{self.kind}:{self.entity_id}"

    @property
    def rules(self) -> TeamRules:
        """What it says of the calls of its keys."""
        if self.kind is not EntityKind.TEAM:
            return NO_TEAM_RULES
        return team_rules(self.settings_json, self.metadata_json)


@dataclass(frozen=True, slots=True)
class Member:
    """A user within a team."""

    team_id: str
    user_id: str
    role: str = "user"
    budget_id: str = ""
    limits: LimitPlan = NO_LIMITS
    user_email: str = ""

    @property
    def account_id(self) -> str:
        return member_account(self.team_id, self.user_id)


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used, at one moment; in nano-USD. `spend`: in the budget's current period, if it has one."""

    spend_nanos: int = 0
    total_spend_nanos: int = 0
    held_nanos: int = 0
    budget_reset_at: datetime | None = None
    model_spend_nanos: Mapping[str, int] = field(default_factory=dict)


NOTHING_USED = Usage()


@dataclass(frozen=True, slots=True)
class EntityState:
    """An entity, what holds for it with its budget's limits, and what it used."""

    record: Entity
    plan: LimitPlan
    usage: Usage


@dataclass(frozen=True, slots=True)
class MemberState:
    """As `EntityState`."""

    record: Member
    plan: LimitPlan
    usage: Usage


class Order(StrEnum):
    """What a list is sorted by."""

    CREATED = "created"
    UPDATED = "updated"
    ID = "id"
    ALIAS = "alias"
    SPEND = "spend"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list; `number` counts from 1."""

    number: int = 1
    size: int = PAGE_SIZE
    order: Order = Order.CREATED
    descending: bool = True

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True)
class EntityFilter:
    """Which entities of a kind; what is empty does not matter."""

    kind: EntityKind
    entity_ids: tuple[str, ...] = ()
    alias_contains: str = ""
    email_contains: str = ""
    role: str = ""
    organization_id: str = ""
    member_user_id: str = ""


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys; what is empty does not matter."""

    key_hashes: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    team_ids: tuple[str, ...] = ()
    organization_id: str = ""
    alias: str = ""
    alias_contains: str = ""
    with_alias: bool = False
