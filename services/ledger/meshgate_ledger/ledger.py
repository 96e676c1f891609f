"""The ledger's use cases: reserve, settle, void, authenticate.

Rules and prices are applied here, PostgreSQL decides: a reservation carries the version of the key's record
that it was judged by, and is judged again when PostgreSQL has another.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.admission import (
    AdmissionPolicy,
    Offer,
    blocked_denial,
    budget_denial,
    judge,
    key_denial,
    unknown_key,
)
from meshgate_ledger.batches import KEY_VERSION_NONE_KNOWN, Closed, CloseItem, Reserved, ReserveItem
from meshgate_ledger.key_memory import KeyMemory
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.postgres_store import PostgresStore
from meshgate_ledger.price import Cost, Price, Rates, consistent, cost_of
from meshgate_ledger.prompt_price import prompt_rates
from meshgate_ledger.records import (
    Decision,
    Denial,
    DenialReason,
    Grant,
    KeyRecord,
    KeyState,
    Outcome,
    Posting,
    Principal,
    PrincipalKind,
    ReserveCommand,
    SettleCommand,
    utc,
)

KEY_CHANGES_MAX = 4  # during one reservation; the first one may be that we knew nothing


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """What the ledger is made of."""

    store: PostgresStore
    keys: KeyStore
    memory: KeyMemory
    policy: AdmissionPolicy
    hold_duration_s: float
    clock: Clock
    metrics: LedgerMetrics


class Ledger:
    """One replica of the ledger. Every method raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL,
    RESOURCE_EXHAUSTED/QUEUE_FULL when too much waits for it, and DEADLINE_EXCEEDED after `timeout_s`."""

    def __init__(self, parts: LedgerParts) -> None:
        self._store = parts.store
        self._keys = parts.keys
        self._memory = parts.memory
        self._policy = parts.policy
        self._hold_duration_s = parts.hold_duration_s
        self._clock = parts.clock
        self._metrics = parts.metrics
        self._log = structlog.get_logger("meshgate.ledger")

    async def reserve(self, command: ReserveCommand, timeout_s: float) -> Decision:
        """Decides a call and holds what it may cost. A repeat returns the first decision.

        Raises ALREADY_EXISTS/REQUEST_ID_USED when the request_id was another caller's or model's.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        is_key = command.principal.kind is PrincipalKind.VIRTUAL_KEY
        key = self._memory.get(command.principal.key_hash) if is_key else None
        for _ in range(KEY_CHANGES_MAX):
            item = self._reserve_item(command, key)
            reserved = await self._store.reserve(item, end_s - loop.time())
            if reserved.key is not None:
                key = reserved.key
                self._memory.remember(key)
            if reserved.state != "stale":
                verdict = _verdict(command, reserved, key)
                self._count(verdict)
                return Decision(verdict, reserved.is_repeat, self._prompt_rates(command, verdict))
        raise MeshError(Code.ABORTED, "KEY_CHANGING", "the key's record keeps changing", retry_after_s=0.1)

    async def settle(self, command: SettleCommand, timeout_s: float) -> Posting:
        """Posts what a call cost and releases its hold. A repeat returns the first posting.

        Raises NOT_FOUND/HOLD_UNKNOWN and FAILED_PRECONDITION/ALREADY_VOIDED.
        """
        closed = await self._store.close(self._close_item(command), timeout_s)
        if closed.state == "voided":
            raise MeshError(Code.FAILED_PRECONDITION, "ALREADY_VOIDED", "this request was voided")
        posting = _posting(closed)
        if posting is None:
            raise _hold_unknown(command.request_id)
        self._metrics.charged_nanos.inc(posting.cost.total)
        return posting

    async def void(self, request_id: str, reason: str, timeout_s: float) -> None:
        """Releases a hold that no provider call followed. A repeat changes nothing.

        Raises NOT_FOUND/HOLD_UNKNOWN and FAILED_PRECONDITION/ALREADY_SETTLED.
        """
        item = CloseItem(request_id=request_id, kind="void", outcome="void", error_reason=reason)
        closed = await self._store.close(item, timeout_s)
        if closed.state == "settled":
            raise MeshError(Code.FAILED_PRECONDITION, "ALREADY_SETTLED", "this request was settled")
        if closed.state != "voided":
            raise _hold_unknown(request_id)

    async def authenticate(self, principal: Principal, timeout_s: float) -> KeyState | Denial | None:
        """Who a credential belongs to; None for the master key and in open mode."""
        blocked = self._policy.blocked
        if principal.kind is not PrincipalKind.VIRTUAL_KEY:
            return blocked_denial(blocked, principal.key_hash)
        state = await self._keys.get(principal.key_hash, timeout_s)
        if state is None:
            return unknown_key()
        key = state.record
        self._memory.remember(key)
        denial = blocked_denial(blocked, key.key_hash, key.user_id) or key_denial(
            key, utc(self._clock.now_ns())
        )
        return denial or state

    def _prompt_rates(self, command: ReserveCommand, verdict: Grant | Denial) -> Rates | None:
        if isinstance(verdict, Denial):
            return None
        prices = self._policy.prices.of_model(verdict.resolved_model, utc(self._clock.now_ns()))
        return prompt_rates(prices, command.prompt_tokens)

    def _reserve_item(self, command: ReserveCommand, key: KeyRecord | None) -> ReserveItem:
        now = utc(self._clock.now_ns())
        principal = command.principal
        is_key = principal.kind is PrincipalKind.VIRTUAL_KEY
        verdict: Offer | Denial = Offer(command.model, Cost(), 0)
        if key is not None or not is_key:
            verdict = judge(command, key, self._policy, now)
        denial = verdict if isinstance(verdict, Denial) else None
        offer = verdict if isinstance(verdict, Offer) else Offer(command.model, Cost(), 0)
        version = key.version if key is not None else KEY_VERSION_NONE_KNOWN
        duration_s = command.hold_duration_s or self._hold_duration_s
        return ReserveItem(
            request_id=command.request_id,
            account_id=principal.account_id,
            key_hash=principal.key_hash,
            key_version=version if is_key else None,
            model=command.model,
            resolved_model=offer.resolved_model,
            prompt_tokens=command.prompt_tokens,
            output_tokens=offer.output_tokens,
            input_nanos=offer.estimate.input,
            amount_nanos=offer.estimate.total,
            expires_at=now + timedelta(seconds=duration_s),
            end_user=command.end_user,
            tags=command.tags,
            denial_reason=denial.reason.value if denial else None,
            denial_message=denial.message if denial else None,
        )

    def _close_item(self, command: SettleCommand) -> CloseItem:
        tokens = consistent(command.tokens)
        is_used = command.outcome is not Outcome.CACHE_HIT and (tokens.prompt > 0 or tokens.completion > 0)
        price = self._price(command) if is_used else None
        cost = cost_of(price, tokens) if price is not None else Cost()
        principal = command.principal
        return CloseItem(
            request_id=command.request_id,
            kind="charge",
            account_id=principal.account_id if principal else None,
            key_hash=principal.key_hash if principal else "",
            input_nanos=cost.input,
            cached_input_nanos=cost.cached_input,
            cache_creation_nanos=cost.cache_creation,
            output_nanos=cost.output,
            reasoning_nanos=cost.reasoning,
            price=price.as_json if price else None,
            is_unpriced=is_used and price is None,
            saved_nanos=command.saved_nanos,
            estimated=command.estimated,
            prompt_tokens=tokens.prompt,
            completion_tokens=tokens.completion,
            cached_tokens=tokens.cached,
            cache_creation_tokens=tokens.cache_creation,
            reasoning_tokens=tokens.reasoning,
            uncompressed_prompt_tokens=command.uncompressed_prompt_tokens,
            outcome=command.outcome.value,
            error_reason=command.error_reason,
            model_group=command.model_group,
            deployment_id=command.deployment_id,
            provider=command.provider,
            upstream_model=command.upstream_model,
            cache_key=command.cache_key,
            start_time=command.start_time,
            end_time=command.end_time,
            first_token_time=command.first_token_time,
        )

    def _price(self, command: SettleCommand) -> Price | None:
        at: datetime = command.start_time or utc(self._clock.now_ns())
        price = self._policy.prices.of_call(
            command.deployment_id, command.provider, command.upstream_model, at
        )
        if price is None:
            self._metrics.unpriced_calls.labels(command.provider).inc()
            self._log.warning(
                "price unknown",
                request_id=command.request_id,
                provider=command.provider,
                model=command.upstream_model,
            )
        return price

    def _count(self, verdict: Grant | Denial) -> None:
        label = verdict.reason.value if isinstance(verdict, Denial) else "GRANTED"
        self._metrics.decisions.labels(label).inc()


def _verdict(command: ReserveCommand, reserved: Reserved, key: KeyRecord | None) -> Grant | Denial:
    """What a row of ledger.holds says to the caller."""
    if (reserved.account_id, reserved.model) != (command.principal.account_id, command.model):
        raise MeshError(Code.ALREADY_EXISTS, "REQUEST_ID_USED", "this request_id was used for another call")
    if reserved.denial_reason is None:
        return Grant(reserved.resolved_model, reserved.amount_nanos, reserved.spend_nanos, key)
    reason = DenialReason(reserved.denial_reason)
    if reason is DenialReason.KEY_UNKNOWN:
        return unknown_key()
    if reason is DenialReason.BUDGET_EXCEEDED:
        assert reserved.limit_nanos is not None
        return budget_denial(reserved.spend_nanos, reserved.amount_nanos, reserved.limit_nanos)
    return Denial(reason, reserved.denial_message or "")


def _posting(closed: Closed) -> Posting | None:
    if closed.balance_nanos is None:
        return None
    return Posting(
        Cost(
            input=closed.input_nanos or 0,
            cached_input=closed.cached_input_nanos or 0,
            cache_creation=closed.cache_creation_nanos or 0,
            output=closed.output_nanos or 0,
            reasoning=closed.reasoning_nanos or 0,
        ),
        closed.balance_nanos,
    )


def _hold_unknown(request_id: str) -> MeshError:
    return MeshError(
        Code.NOT_FOUND, "HOLD_UNKNOWN", "there is no hold for this request", {"request_id": request_id}
    )
