"""The ledger's use cases: reserve, top up, settle, void, authenticate; slots of edges.

Rules and prices are applied here, PostgreSQL decides: a reservation carries the versions of the records that
it was judged by, and is judged again when PostgreSQL has others.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger import charges
from meshgate_ledger.admission import (
    AdmissionPolicy,
    blocked_denial,
    blocked_since,
    covered_output_tokens,
    dearest,
    key_denial,
    price_unknown,
    route_denial,
    unknown_key,
)
from meshgate_ledger.batches import Reserved
from meshgate_ledger.closings import Closed, CloseItem, Raised, TopUpItem
from meshgate_ledger.denials import limit_denial
from meshgate_ledger.judgement import Judge, Judged
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.output_quantile import OutputQuantile
from meshgate_ledger.postgres_store import PostgresStore
from meshgate_ledger.price import Cost, Price
from meshgate_ledger.price_book import ModelPrices
from meshgate_ledger.records import (
    Decision,
    Denial,
    DenialReason,
    Grant,
    KeyState,
    Outcome,
    Posting,
    Principal,
    PrincipalKind,
    ReserveCommand,
    SettleCommand,
    ToppedUp,
    TopUpCommand,
    VoidCommand,
    Voided,
    utc,
)
from meshgate_ledger.together import Begun, Way, together

RECORD_CHANGES_MAX = 4  # during one reservation


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """What the ledger is made of."""

    store: PostgresStore
    keys: KeyStore
    judge: Judge
    outputs: OutputQuantile
    policy: AdmissionPolicy
    hold_duration_s: float
    lease_s: float
    clock: Clock
    metrics: LedgerMetrics


class Ledger:
    """One replica of the ledger. Every method raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL,
    RESOURCE_EXHAUSTED/QUEUE_FULL when too much waits for it, and DEADLINE_EXCEEDED after `timeout_s`."""

    def __init__(self, parts: LedgerParts) -> None:
        self._store = parts.store
        self._keys = parts.keys
        self._judge = parts.judge
        self._outputs = parts.outputs
        self._policy = parts.policy
        self._hold_duration_s = parts.hold_duration_s
        self._lease_s = parts.lease_s
        self._clock = parts.clock
        self._metrics = parts.metrics
        self._log = structlog.get_logger("meshgate.ledger")

    async def reserve(self, command: ReserveCommand, timeout_s: float) -> Decision:
        """Decides a call and holds what it may cost. A repeat returns the first decision.

        Raises ALREADY_EXISTS/REQUEST_ID_USED when the request_id was another caller's or model's, and
        FAILED_PRECONDITION/ALREADY_VOIDED when it was voided before it came.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        for _ in range(RECORD_CHANGES_MAX):
            judged = await self._judge.judge(command, end_s - loop.time())
            reserved = await self._store.reserve(judged.item, end_s - loop.time())
            decision = self._decision(command, reserved, judged)
            if decision is not None:
                return decision
        raise MeshError(Code.ABORTED, "KEY_CHANGING", "the key's record keeps changing", retry_after_s=0.1)

    async def reserve_all(
        self, commands: Sequence[ReserveCommand], timeout_s: float
    ) -> list[Decision | MeshError]:
        """As `reserve`, each on its own."""

        def begin(command: ReserveCommand) -> Begun | None:
            judged = self._judge.judge_known(command)
            if judged is None:
                return None
            future = self._store.begin_reserve(judged.item, timeout_s)
            return Begun(future, lambda reserved: self._decision(command, reserved, judged))

        return await together(Way(begin, lambda each: self.reserve(each, timeout_s)), commands)

    async def top_up(self, command: TopUpCommand, timeout_s: float) -> ToppedUp:
        """Raises a hold to what the call needs now, or as far as the budgets allow. A repeat changes nothing.

        Raises NOT_FOUND/HOLD_UNKNOWN and FAILED_PRECONDITION/ALREADY_SETTLED, /ALREADY_VOIDED.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        prices = await self._prices_of(command, timeout_s)
        if command.model and not prices.complete and await self._needs_price(command, timeout_s):
            return ToppedUp(0, 0, price_unknown(command.model))
        estimate = dearest(prices, command.prompt_tokens, command.output_tokens)
        now = utc(self._clock.now_ns())
        legs_nanos, legs_tokens = charges.cost_of_legs(command.legs, self._policy.prices.of_call, now)
        amount_nanos = estimate.total + legs_nanos
        item = TopUpItem(
            request_id=command.request_id,
            input_nanos=estimate.input + legs_nanos,
            amount_nanos=amount_nanos,
            tokens=command.prompt_tokens + command.output_tokens + legs_tokens,
            output_tokens=command.output_tokens,
            hold_duration_s=self._hold_duration_s,
        )
        raised = await self._store.top_up(item, end_s - loop.time())
        _refuse_ended(command.request_id, raised)
        covered = command.output_tokens
        denial = None
        if raised.amount_nanos < amount_nanos:
            denial = _why_not_raised(raised, amount_nanos - raised.amount_nanos, now)
        if denial is not None:
            left_nanos = raised.amount_nanos - legs_nanos
            covered = covered_output_tokens(prices, command.prompt_tokens, left_nanos, covered)
        if command.model and covered > 0:
            refused = await self._store.join_model(command.request_id, command.model, end_s - loop.time())
            if refused is not None:
                covered = 0
                denial = limit_denial(refused, raised.amount_nanos, item.tokens, now)
        self._metrics.top_ups.labels("all" if denial is None else "some" if covered else "none").inc()
        return ToppedUp(covered, raised.amount_nanos, denial)

    async def settle(self, command: SettleCommand, timeout_s: float) -> Posting:
        """Posts what a call cost and releases its hold. A repeat returns the first posting.

        Raises NOT_FOUND/HOLD_UNKNOWN and FAILED_PRECONDITION/ALREADY_VOIDED.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        item = charges.settlement(command, self._price, utc(self._clock.now_ns()))
        closed = Closed(None) if command.offline else await self._store.close(item, timeout_s)
        if closed.state is None and command.principal is not None:
            item = await self._with_payers(item, command, end_s - loop.time())
            closed = await self._store.close(item, end_s - loop.time())
        return self._posted(command, closed)

    async def void(self, request_id: str, reason: str, timeout_s: float) -> None:
        """Releases a hold that no provider call followed. A repeat changes nothing. One that comes before its
        reservation refuses that.

        Raises NOT_FOUND/HOLD_UNKNOWN for a call that was denied, and FAILED_PRECONDITION/ALREADY_SETTLED.
        """
        _refuse_not_voided(request_id, await self._store.close(charges.void(request_id, reason), timeout_s))

    async def close_all(
        self, commands: Sequence[SettleCommand | VoidCommand], timeout_s: float
    ) -> list[Posting | Voided | MeshError]:
        """As `settle` and `void`, each on its own."""

        def begin(command: SettleCommand | VoidCommand) -> Begun | None:
            if isinstance(command, VoidCommand):
                item = charges.void(command.request_id, command.reason)
                future = self._store.begin_close(item, timeout_s)
                return Begun(future, lambda closed: _refuse_not_voided(command.request_id, closed))
            if command.offline:
                return None
            item = charges.settlement(command, self._price, utc(self._clock.now_ns()))
            future = self._store.begin_close(item, timeout_s)
            return Begun(future, lambda closed: end(command, closed))

        def end(command: SettleCommand, closed: Closed) -> Posting | None:
            lost = closed.state is None and command.principal is not None
            return None if lost else self._posted(command, closed)

        async def whole(command: SettleCommand | VoidCommand) -> Posting | Voided:
            assert isinstance(command, SettleCommand), "a void needs no more than its turn"
            return await self.settle(command, timeout_s)

        return await together(Way(begin, whole), commands)

    async def renew_lease(self, edge_id: str, timeout_s: float) -> float:
        """An edge lives; returns for how many seconds that is believed."""
        await self._store.renew_lease(edge_id, self._lease_s, timeout_s)
        return self._lease_s

    async def release_lease(self, edge_id: str, timeout_s: float) -> None:
        """An edge ends: its slots are free."""
        self._metrics.freed_slots.inc(await self._store.free_slots(self._lease_s, timeout_s, edge_id))

    async def authenticate(
        self, principal: Principal, timeout_s: float, route: str = ""
    ) -> KeyState | Denial | None:
        """Who a credential belongs to; None for the master key and in open mode. `route`: what it is shown
        for; empty: nothing that depends on it."""
        blocked = self._policy.blocked
        if principal.kind is not PrincipalKind.VIRTUAL_KEY:
            return blocked_denial(blocked, principal.key_hash)
        state = await self._keys.get(principal.key_hash, timeout_s)
        if state is None:
            return unknown_key()
        key = state.record
        denial = blocked_denial(blocked, key.key_hash, key.user_id) or key_denial(
            key, utc(self._clock.now_ns())
        )
        if denial is None and route:
            denial = route_denial(key, route)
        return denial or state

    def _decision(self, command: ReserveCommand, reserved: Reserved, judged: Judged) -> Decision | None:
        """None: it was judged by records that are not what PostgreSQL has."""
        if reserved.state == "stale":
            self._judge.forget(judged)
            return None
        verdict = self._verdict(command, reserved, judged)
        if isinstance(verdict, Grant):
            self._metrics.decided("GRANTED")
            return Decision(verdict, reserved.is_repeat, judged.prompt_rates, reserved.limits)
        self._metrics.decided(verdict.reason.value)
        return Decision(verdict, reserved.is_repeat, None, reserved.limits)

    def _posted(self, command: SettleCommand, closed: Closed) -> Posting:
        if closed.state == "voided":
            raise _already_voided()
        posting = _posting(closed)
        if posting is None:
            raise _hold_unknown(command.request_id)
        if closed.is_new:
            self._metrics.charged_nanos.inc(posting.cost.total)
            self._learn(command)
        return posting

    def _verdict(self, command: ReserveCommand, reserved: Reserved, judged: Judged) -> Grant | Denial:
        """What a row of ledger.holds says to the caller."""
        if not reserved.account_id:
            raise _already_voided()
        payer = judged.item.scopes[0].record.account_id
        if (reserved.account_id, reserved.model) != (payer, command.model):
            raise MeshError(
                Code.ALREADY_EXISTS, "REQUEST_ID_USED", "this request_id was used for another call"
            )
        if reserved.denial_reason is None:
            return Grant(
                reserved.resolved_model,
                reserved.amount_nanos,
                reserved.spend_nanos,
                judged.key,
                reserved.output_tokens,
                judged.covers_model_only,
                judged.limited_models,
                judged.rules,
            )
        reason = DenialReason(reserved.denial_reason)
        if reason is DenialReason.KEY_UNKNOWN:
            return unknown_key()
        if reserved.refused_by is not None:
            tokens = judged.item.prompt_tokens + reserved.output_tokens
            now = utc(self._clock.now_ns())
            return limit_denial(reserved.refused_by, reserved.amount_nanos, tokens, now)
        return Denial(reason, reserved.denial_message or "")

    async def _needs_price(self, command: TopUpCommand, timeout_s: float) -> bool:
        """Whether a model without a price is refused."""
        if self._policy.require_pricing is not None:
            return self._policy.require_pricing
        return await self._store.has_budget(command.request_id, command.model, timeout_s)

    async def _prices_of(self, command: TopUpCommand, timeout_s: float) -> ModelPrices:
        """Of the model that may answer, of the deployment that does, else of the model that was reserved."""
        now = utc(self._clock.now_ns())
        if command.model:
            return self._policy.prices.of_model(command.model, now)
        if command.deployment_id or command.provider:
            price = self._policy.prices.of_call(
                command.deployment_id, command.provider, command.upstream_model, now
            )
            return ModelPrices((price,) if price else (), complete=price is not None)
        model = await self._store.resolved_model(command.request_id, timeout_s)
        if model is None:
            raise _hold_unknown(command.request_id)
        return self._policy.prices.of_model(model, now)

    async def _with_payers(self, item: CloseItem, command: SettleCommand, timeout_s: float) -> CloseItem:
        """The settlement as it can be posted without a hold."""
        (account_id, *others), tags = await self._judge.payers(command, timeout_s)
        principal = command.principal
        main = item.main._replace(
            account_id=account_id,
            scopes=tuple(others),
            key_hash=principal.key_hash if principal else "",
            model=command.model_group,
            end_user=command.end_user,
            tags=tags,
        )
        return item._replace(main=main)

    def _learn(self, command: SettleCommand) -> None:
        if command.outcome is Outcome.SUCCESS and command.tokens.completion > 0:
            key_hash = command.principal.key_hash if command.principal else ""
            self._outputs.learn(key_hash, command.model_group, command.tokens.completion)

    def _price(self, deployment_id: str, provider: str, upstream_model: str, at: datetime) -> Price | None:
        price = self._policy.prices.of_call(deployment_id, provider, upstream_model, at)
        if price is None:
            self._metrics.unpriced_calls.labels(provider).inc()
            self._log.warning("price unknown", provider=provider, model=upstream_model)
        return price


def _posting(closed: Closed) -> Posting | None:
    if closed.balance_nanos is None:
        return None
    cost = Cost(
        input=closed.input_nanos,
        cached_input=closed.cached_input_nanos,
        cache_creation=closed.cache_creation_nanos,
        output=closed.output_nanos,
        reasoning=closed.reasoning_nanos,
    )
    return Posting(cost, closed.balance_nanos)


def _why_not_raised(raised: Raised, missing_nanos: int, now: datetime) -> Denial | None:
    """None: nothing refused it."""
    if raised.blocked_account is not None:
        return blocked_since(raised.blocked_account)
    return None if raised.refused_by is None else limit_denial(raised.refused_by, missing_nanos, 0, now)


def _refuse_not_voided(request_id: str, closed: Closed) -> Voided:
    if closed.state == "settled":
        raise _already_settled()
    if closed.state != "voided":
        raise _hold_unknown(request_id)
    return Voided()


def _refuse_ended(request_id: str, raised: Raised) -> None:
    if raised.state == "open":
        return
    if raised.state == "voided":
        raise _already_voided()
    if raised.state in {"settled", "expired"}:
        raise _already_settled()
    raise _hold_unknown(request_id)


def _already_voided() -> MeshError:
    return MeshError(Code.FAILED_PRECONDITION, "ALREADY_VOIDED", "this request was voided")


def _already_settled() -> MeshError:
    return MeshError(Code.FAILED_PRECONDITION, "ALREADY_SETTLED", "this request was settled")


def _hold_unknown(request_id: str) -> MeshError:
    return MeshError(
        Code.NOT_FOUND, "HOLD_UNKNOWN", "there is no hold for this request", {"request_id": request_id}
    )
