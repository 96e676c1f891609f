"""From a call to the row that asks for it: remembers records, judges by them, notices when they were old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from meshgate_chassis.clock import Clock
from meshgate_ledger.account_memory import AccountMemory
from meshgate_ledger.admission import (
    AdmissionPolicy,
    Moment,
    Offer,
    has_budget,
    limited_models,
    needs_price,
    offer,
    refusal,
    resolve_model,
    team_of,
)
from meshgate_ledger.batches import KEY_VERSION_NONE_KNOWN, ReserveItem
from meshgate_ledger.call_rules import NO_RULES, CallRules, together
from meshgate_ledger.key_memory import KeyMemory
from meshgate_ledger.output_quantile import OutputQuantile
from meshgate_ledger.price import Cost, Rates
from meshgate_ledger.prompt_price import prompt_rates
from meshgate_ledger.record_store import RecordStore
from meshgate_ledger.records import (
    AccountRecord,
    Denial,
    KeyRecord,
    Principal,
    PrincipalKind,
    ReserveCommand,
    SettleCommand,
    utc,
)
from meshgate_ledger.scopes import Scope, all_tags, base_accounts, budget_applies, with_models

RULINGS_MAX = 20_000


class Judged(NamedTuple):
    """The row, and what it was made of. `prompt_rates`: None for a denial or an unknown price."""

    item: ReserveItem
    key: KeyRecord | None
    prompt_rates: Rates | None
    covers_model_only: bool = False  # see Grant
    limited_models: frozenset[str] = frozenset()
    rules: CallRules = NO_RULES


@dataclass(frozen=True, slots=True)
class Memories:
    """What one replica remembers."""

    keys: KeyMemory
    accounts: AccountMemory
    outputs: OutputQuantile


# Key hash, requested model, end user, tags, route.
_Name = tuple[str, str, str, tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class _Ruling:
    """What the rules say to calls of one kind; the same until a record is another, or the key expires."""

    key: KeyRecord | None
    model: str  # resolved
    scopes: tuple[Scope, ...]
    denial: Denial | None
    price_needed: bool
    covers_model_only: bool
    limited_models: frozenset[str]
    rules: CallRules

    def holds_at(self, now: datetime) -> bool:
        """An expired key is refused anew each time: it may get more time."""
        return self.key is None or self.key.expires_at is None or now < self.key.expires_at


class Judge:
    """Raises UNAVAILABLE/STORE_UNAVAILABLE when it has to read and cannot."""

    def __init__(
        self,
        policy: AdmissionPolicy,
        memories: Memories,
        records: RecordStore,
        hold_duration_s: float,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._keys = memories.keys
        self._accounts = memories.accounts
        self._outputs = memories.outputs
        self._records = records
        self._hold_duration_s = hold_duration_s
        self._clock = clock
        self._rulings: dict[_Name, _Ruling] = {}

    def judge_known(self, command: ReserveCommand) -> Judged | None:
        """Every rule but the limits, when nothing has to be read for it; else None."""
        principal = command.principal
        key = None
        if principal.kind is PrincipalKind.VIRTUAL_KEY:
            key = self._keys.get(principal.key_hash)
            if key is None:
                return None
        now = utc(self._clock.now_ns())
        ruling = self._rulings.get(_name(command))
        if ruling is None or ruling.key is not key or not ruling.holds_at(now):
            return None
        return self._judged(command, ruling, now)

    async def judge(self, command: ReserveCommand, timeout_s: float) -> Judged:
        """The same; reads what is not remembered."""
        known = self.judge_known(command)
        if known is not None:
            return known
        principal = command.principal
        key = await self._key(principal, timeout_s)
        if key is None and principal.kind is PrincipalKind.VIRTUAL_KEY:
            payer = Scope(AccountRecord(principal.account_id))
            now = utc(self._clock.now_ns())
            return Judged(self._item(command, None, (payer,), None, now), None, None)
        now = utc(self._clock.now_ns())
        ruling = await self._rule(command, key, now, timeout_s)
        self._remember(_name(command), ruling)
        return self._judged(command, ruling, now)

    def _judged(self, command: ReserveCommand, ruling: "_Ruling", now: datetime) -> Judged:
        verdict: Offer | Denial | None = ruling.denial
        rates = None
        if verdict is None:
            moment = Moment(now, self._outputs.usual)
            verdict = offer(command, ruling.model, ruling.price_needed, self._policy, moment)
            if isinstance(verdict, Offer):
                rates = prompt_rates(verdict.prices, command.prompt_tokens)
        item = self._item(command, ruling.key, ruling.scopes, verdict, now)
        return Judged(item, ruling.key, rates, ruling.covers_model_only, ruling.limited_models, ruling.rules)

    def forget(self, judged: Judged) -> None:
        """What it was judged by is not what PostgreSQL has."""
        self._rulings.clear()
        self._keys.forget(judged.item.key_hash)
        self._accounts.forget(scope.record.account_id for scope in judged.item.scopes)

    async def payers(
        self, command: SettleCommand, timeout_s: float
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The accounts of a settlement that has no hold, the payer's first, and its tags; also of a key that
        was deleted. The command must have a principal."""
        principal = command.principal
        assert principal is not None
        key = await self._key(principal, timeout_s)
        if key is None and principal.kind is PrincipalKind.VIRTUAL_KEY:
            key = await self._records.key(principal.key_hash, timeout_s, deleted=True)
        account_ids = base_accounts(principal, key, command.end_user, command.tags)
        await self._know(account_ids, timeout_s)
        accounts = with_models(account_ids, command.model_group, self._accounts.get)
        return accounts, all_tags(key, command.tags)

    async def _key(self, principal: Principal, timeout_s: float) -> KeyRecord | None:
        if principal.kind is not PrincipalKind.VIRTUAL_KEY:
            return None
        key = self._keys.get(principal.key_hash)
        if key is None:
            key = await self._records.key(principal.key_hash, timeout_s)
            if key is not None:
                self._keys.remember(key)
        return key

    async def _rule(
        self, command: ReserveCommand, key: KeyRecord | None, now: datetime, timeout_s: float
    ) -> "_Ruling":
        model, scopes = await self._scopes(command, key, timeout_s)
        team = team_of(scope.record for scope in scopes)
        price_needed, limited = needs_price(scopes, self._policy), limited_models(scopes)
        return _Ruling(
            key=key,
            model=model,
            scopes=scopes,
            denial=refusal(command, key, scopes, self._policy, now),
            price_needed=price_needed,
            covers_model_only=price_needed or has_budget(scopes) or bool(limited),
            limited_models=limited,
            rules=NO_RULES if key is None else together(key.rules, team),
        )

    def _remember(self, name: "_Name", ruling: "_Ruling") -> None:
        if len(self._rulings) >= RULINGS_MAX:
            self._rulings.clear()
        self._rulings[name] = ruling

    async def _scopes(
        self, command: ReserveCommand, key: KeyRecord | None, timeout_s: float
    ) -> tuple[str, tuple[Scope, ...]]:
        """The model that is meant, and on whom the call counts. Both by the same records: a newer one that
        comes meanwhile must not stand for what an older one said."""
        account_ids = base_accounts(command.principal, key, command.end_user, command.tags)
        await self._know(account_ids, timeout_s)
        records = {each: self._record(each) for each in account_ids}
        model = resolve_model(key, command.model, self._policy.names, team_of(records.values()))
        account_ids = with_models(account_ids, model, records.get)
        await self._know(account_ids, timeout_s)
        return model, tuple(
            Scope(records.get(each) or self._record(each), budget_applies(each, key)) for each in account_ids
        )

    def _record(self, account_id: str) -> AccountRecord:
        return self._accounts.get(account_id) or AccountRecord(account_id)

    async def _know(self, account_ids: Sequence[str], timeout_s: float) -> None:
        unknown = [each for each in account_ids if self._accounts.get(each) is None]
        if unknown:
            self._rulings.clear()
            self._accounts.remember(await self._records.accounts(unknown, timeout_s))

    def _item(
        self,
        command: ReserveCommand,
        key: KeyRecord | None,
        scopes: tuple[Scope, ...],
        verdict: Offer | Denial | None,
        now: datetime,
    ) -> ReserveItem:
        offer = verdict if isinstance(verdict, Offer) else None
        denial = verdict if isinstance(verdict, Denial) else None
        estimate = offer.estimate if offer else Cost()
        version = key.version if key is not None else KEY_VERSION_NONE_KNOWN
        duration_s = command.hold_duration_s or self._hold_duration_s
        return ReserveItem(
            request_id=command.request_id,
            scopes=scopes,
            key_hash=command.principal.key_hash,
            key_version=version if command.principal.kind is PrincipalKind.VIRTUAL_KEY else None,
            model=command.model,
            resolved_model=offer.resolved_model if offer else command.model,
            prompt_tokens=command.prompt_tokens,
            output_tokens=offer.output_tokens if offer else 0,
            input_nanos=estimate.input,
            amount_nanos=estimate.total,
            least_nanos=offer.least_nanos if offer else None,
            least_tokens=offer.least_tokens if offer else None,
            expires_at=now + timedelta(seconds=duration_s),
            end_user=command.end_user,
            tags=all_tags(key, command.tags),
            user_id=key.user_id if key else "",
            team_id=key.team_id if key else "",
            organization_id=key.organization_id if key else "",
            edge_id=command.edge_id,
            denial_reason=denial.reason.value if denial else None,
            denial_message=denial.message if denial else None,
        )


def _name(command: ReserveCommand) -> _Name:
    return (command.principal.key_hash, command.model, command.end_user, command.tags, command.route)
