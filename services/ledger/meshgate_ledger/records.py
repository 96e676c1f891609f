"""The ledger's words: who calls, what is asked, what is decided. Values only.

What is made for every call is a NamedTuple: a frozen dataclass of as many fields takes ten times as long.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import NamedTuple

from meshgate_ledger.call_rules import NO_RULES, NO_TEAM_RULES, CallRules, TeamRules
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan
from meshgate_ledger.entities.records import NOTHING_USED, Usage
from meshgate_ledger.limits import LimitNow
from meshgate_ledger.price import Cost, Rates, TokenCounts

NANOS_PER_USD = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PrincipalKind(Enum):
    """How a caller was authenticated."""

    MASTER = "master"
    OPEN = "open"
    VIRTUAL_KEY = "key"


class Principal(NamedTuple):
    """Who calls. `key_hash` is empty only for OPEN."""

    kind: PrincipalKind
    key_hash: str = ""

    @property
    def account_id(self) -> str:
        """The account that pays."""
        return key_account_id(self.key_hash) if self.kind is PrincipalKind.VIRTUAL_KEY else self.kind.value


def key_account_id(key_hash: str) -> str:
    """The account of a virtual key."""
    return f"key:{key_hash}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a virtual key, and the rules it carries. `version` grows with every change."""

    key_hash: str
    key_name: str = ""
    key_alias: str = ""
    user_id: str = ""
    team_id: str = ""
    models: tuple[str, ...] = ()  # empty: all
    aliases: Mapping[str, str] = field(default_factory=dict)  # requested name -> model
    max_budget_nanos: int | None = None
    expires_at: datetime | None = None
    created_at: datetime = EPOCH
    blocked: bool = False
    metadata_json: str = ""
    settings_json: str = ""
    version: int = 0
    organization_id: str = ""
    tags: tuple[str, ...] = ()  # of every call
    budget_id: str = ""
    limits: LimitPlan = NO_LIMITS  # its own; what results with the budget's is in ledger.limits
    account_id: str = ""  # who pays; another than key_account_id's when the key has got another secret
    created_by: str = ""
    updated_by: str = ""
    updated_at: datetime | None = None
    allowed_routes: tuple[str, ...] = ()  # see meshgate_chassis.routes; empty: all
    rules: CallRules = NO_RULES  # read from its settings and metadata; never written


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key and its money at one moment."""

    record: KeyRecord
    posted_nanos: int
    held_nanos: int
    plan: LimitPlan = NO_LIMITS  # its own limits over its budget's
    usage: Usage = NOTHING_USED
    user_role: str = ""  # of its user, unless that is blocked


class DenialReason(StrEnum):
    """As in the contract."""

    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_EXPIRED = "KEY_EXPIRED"
    KEY_BLOCKED = "KEY_BLOCKED"
    MODEL_NOT_ALLOWED = "MODEL_NOT_ALLOWED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    PRICE_UNKNOWN = "PRICE_UNKNOWN"
    RATE_LIMITED = "RATE_LIMITED"
    PARALLEL_LIMITED = "PARALLEL_LIMITED"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
    ROUTE_NOT_ALLOWED = "ROUTE_NOT_ALLOWED"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a call may not be made. A value, not an error."""

    reason: DenialReason
    message: str
    spend_nanos: int = 0  # for BUDGET_EXCEEDED: posted plus held
    max_budget_nanos: int = 0  # for BUDGET_EXCEEDED
    limit: LimitNow | None = None  # that refused
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """The rules of an account. `version` 0: there is no such account."""

    account_id: str
    version: int = 0
    blocked: bool = False
    models: tuple[str, ...] = ()  # empty: all
    limited_models: frozenset[str] = frozenset()  # for which there are accounts of their own
    has_budget: bool = False
    team: TeamRules = NO_TEAM_RULES  # of a team


class ReserveCommand(NamedTuple):
    """A call that somebody wants to make."""

    request_id: str
    principal: Principal
    model: str
    prompt_tokens: int = 0
    max_output_tokens: int | None = None
    choice_count: int = 1
    hold_duration_s: float | None = None
    end_user: str = ""
    tags: tuple[str, ...] = ()
    edge_id: str = ""  # holds a slot of parallel calls as long as it renews its lease
    can_top_up: bool = False  # a smaller hold is welcome
    route: str = ""  # the path that is called; empty: not known


class Grant(NamedTuple):
    """A call that may be made. `key` is None for the master key and in open mode."""

    resolved_model: str
    held_nanos: int
    spend_nanos: int  # posted, before this call
    key: KeyRecord | None
    covered_output_tokens: int = 0  # of all choices together, that the hold pays for
    covers_model_only: bool = False  # another model's price has to be asked for before it is called
    limited_models: frozenset[str] = frozenset()  # that have limits of their own, for somebody it counts on
    rules: CallRules = NO_RULES  # of the key and its team


class Decision(NamedTuple):
    """What was decided of a call, and whether it had been decided before.

    `prompt_rates`: what the prompt's tokens cost; None when that is not known, or the call was denied.
    `limits`: those that took part, after a grant that was decided now.
    """

    verdict: Grant | Denial
    is_repeat: bool
    prompt_rates: Rates | None = None
    limits: tuple[LimitNow, ...] = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """A provider call besides the one that answered, paid for with it."""

    tokens: TokenCounts
    deployment_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    model_group: str = ""
    estimated: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TopUpCommand:
    """A call goes on. `deployment_id`: who answers; empty: as reserved. `model`: another one that may answer,
    whoever of its deployments. `legs`: further provider calls until now."""

    request_id: str
    deployment_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0  # in total that the hold should pay for
    model: str = ""
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """`denial`: why it does not pay for all that was asked."""

    covered_output_tokens: int
    held_nanos: int
    denial: Denial | None = None


class Outcome(StrEnum):
    """How a call ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    CACHE_HIT = "cache_hit"


class SettleCommand(NamedTuple):
    """How a call ended and what it used. `principal` lets it be posted when its hold was lost."""

    request_id: str
    outcome: Outcome
    tokens: TokenCounts = TokenCounts()
    principal: Principal | None = None
    deployment_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    model_group: str = ""
    estimated: bool = False
    start_time: datetime | None = None
    end_time: datetime | None = None
    first_token_time: datetime | None = None
    cache_key: str = ""
    saved_nanos: int = 0
    uncompressed_prompt_tokens: int | None = None
    error_reason: str = ""
    legs: tuple[Leg, ...] = ()
    call_type: str = "acompletion"
    api_base: str = ""
    response_id: str = ""
    requester_ip_address: str = ""
    end_user: str = ""  # these two for a settlement without a hold
    tags: tuple[str, ...] = ()
    offline: bool = False  # admitted while the ledger was away


class VoidCommand(NamedTuple):
    """A call for which no provider was called."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Voided:
    """A hold was released."""


class Posting(NamedTuple):
    """What a call was charged in the end; after a correction the whole charge, not the difference."""

    cost: Cost
    account_posted_nanos: int  # after this posting


def usd(nanos: int) -> str:
    """An exact decimal for people, for example 0.00025."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS_PER_USD)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'}"


def utc(now_ns: int) -> datetime:
    """Unix nanoseconds as a time, cut to PostgreSQL's microseconds."""
    return EPOCH + timedelta(microseconds=now_ns // 1_000)
