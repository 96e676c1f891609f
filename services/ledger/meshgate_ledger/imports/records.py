"""What another gateway knows, in the ledger's words. Values only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from meshgate_ledger.entities.records import Entity, Member
from meshgate_ledger.records import KeyRecord


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has spent there; `resets_at`: when the budget's period ends, if there is one."""

    account_id: str
    spend_nanos: int
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DaySums:
    """What was spent there on a day. `label`: of a tag or an end user; `kind` says which, '' neither."""

    day: date
    key_hash: str
    user_id: str = ""
    team_id: str = ""
    organization_id: str = ""
    model: str = ""
    model_group: str = ""
    provider: str = ""
    kind: str = ""
    label: str = ""
    spend_nanos: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_creation_tokens: int = 0
    requests: int = 0
    failures: int = 0
    cache_hits: int = 0


@dataclass(frozen=True, slots=True)
class Foreign:
    """Everything of another gateway at one moment. `notes`: what could not be brought, for a person."""

    source: str
    entities: Sequence[Entity] = ()
    members: Sequence[Member] = ()
    keys: Sequence[KeyRecord] = ()
    balances: Sequence[Balance] = ()
    days: Sequence[DaySums] = ()
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Brought:
    """What a run brought, or would bring: how many were new of each, and the postings."""

    entities: int = 0
    members: int = 0
    keys: int = 0
    postings: int = 0
    days: int = 0
