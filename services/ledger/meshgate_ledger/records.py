"""The ledger's words: who calls, what is asked, what is decided. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum

from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan
from meshgate_ledger.entities.records import NOTHING_USED, Usage
from meshgate_ledger.price import Cost, Price, Rates, TokenCounts

NANOS_PER_USD = 1_000_000_000


class PrincipalKind(Enum):
    """How a caller was authenticated."""

    MASTER = "master"
    OPEN = "open"
    VIRTUAL_KEY = "key"


@dataclass(frozen=True, slots=True)
class Principal:
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
    created_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
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


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key and its money at one moment."""

    record: KeyRecord
    posted_nanos: int
    held_nanos: int
    plan: LimitPlan = NO_LIMITS  # its own limits over its budget's
    usage: Usage = NOTHING_USED


class DenialReason(StrEnum):
    """As in the contract."""

    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_EXPIRED = "KEY_EXPIRED"
    KEY_BLOCKED = "KEY_BLOCKED"
    MODEL_NOT_ALLOWED = "MODEL_NOT_ALLOWED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    PRICE_UNKNOWN = "PRICE_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a call may not be made. A value, not an error."""

    reason: DenialReason
    message: str
    spend_nanos: int = 0  # for BUDGET_EXCEEDED: posted plus held
    max_budget_nanos: int = 0  # for BUDGET_EXCEEDED


@dataclass(frozen=True, slots=True)
class ReserveCommand:
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


@dataclass(frozen=True, slots=True)
class Grant:
    """A call that may be made. `key` is None for the master key and in open mode."""

    resolved_model: str
    held_nanos: int
    spend_nanos: int  # posted, before this call
    key: KeyRecord | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a call, and whether it had been decided before.

    `prompt_rates`: what the prompt's tokens cost; None when that is not known, or the call was denied.
    """

    verdict: Grant | Denial
    is_repeat: bool
    prompt_rates: Rates | None = None


class Outcome(StrEnum):
    """How a call ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    CACHE_HIT = "cache_hit"


@dataclass(frozen=True, slots=True)
class SettleCommand:
    """How a call ended and what it used. `principal` lets it be posted when its hold was lost."""

    request_id: str
    outcome: Outcome
    tokens: TokenCounts = field(default_factory=TokenCounts)
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


@dataclass(frozen=True, slots=True)
class Posting:
    """What a call was charged in the end; after a correction the whole charge, not the difference."""

    cost: Cost
    account_posted_nanos: int  # after this posting


@dataclass(frozen=True, slots=True)
class PricedSettlement:
    """A settlement with its charge worked out. No price: unknown, or nothing was to be priced."""

    command: SettleCommand
    tokens: TokenCounts
    cost: Cost
    price: Price | None


def usd(nanos: int) -> str:
    """An exact decimal for people, for example 0.00025."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS_PER_USD)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'}"


def utc(now_ns: int) -> datetime:
    """Unix nanoseconds as a time, cut to PostgreSQL's microseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns // 1_000)
