"""Who gets the next call: the eligible deployments of a group, one of them chosen and leased.

A lease is the only way to call a deployment, so that whatever is counted is counted for every call. In this
order: not blocked, tags, context window; not cooling down; the least `order`; the strategy; the budget; the
limits, which may pass the choice on to the next best.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.config.names import ModelGroup
from meshgate_router.breaker import Breaker
from meshgate_router.deployment_limits import Full, Limits
from meshgate_router.deployment_state import DeploymentStates
from meshgate_router.eligibility import by_order, permitted, wide_enough
from meshgate_router.journey import Journey, RouteTask
from meshgate_router.lease import Choice, Hold, Lease, Terms, Watch
from meshgate_router.limit_rules import Amounts, ask_of, corrections, reserved
from meshgate_router.prices import Prices
from meshgate_router.strategies.budget import payable_first
from meshgate_router.strategies.candidate import Candidate
from meshgate_router.strategies.registry import strategy_of

ASKED_MAX: Final = 16  # deployments whose limits one pick looks at
WAITERS_MAX: Final = 1_000  # requests that wait for a call to end; more are turned away at once
WAIT_STEP_S: Final = 0.02
WAIT_STEP_S_MAX: Final = 0.25


@dataclass(frozen=True, slots=True)
class Wish:
    """`without`: deployments that are not to be called. `terms`: what a call to a deployment may take now;
    None: too little time is left. `hold_s`: the call is over after that at the latest. `patience_s`: how long
    to wait for a call to end where `max_parallel_requests` are under way, or for the outcome of a trial."""

    task: RouteTask
    group: ModelGroup
    journey: Journey
    terms: Callable[[Deployment], Terms | None]
    hold_s: float
    without: Collection[Deployment] = ()
    patience_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SelectorParts:
    """What a pick depends on."""

    config: RouterConfig
    breaker: Breaker
    states: DeploymentStates
    limits: Limits
    prices: Prices
    clock: Clock
    random: Random


class Selector:
    """Picks deployments for all requests."""

    def __init__(self, parts: SelectorParts, watch: Watch) -> None:
        self._parts = parts
        self._watch = watch
        self._waiting = 0

    def candidates(self, wish: Wish) -> Sequence[Deployment]:
        """Those that may be called as far as their health goes; the journey notes the others."""
        eligible = permitted(wish.group.deployments, wish.task, self._parts.config)
        wish.journey.not_permitted = wish.journey.not_permitted or not eligible
        if self._parts.config.pre_call_checks:
            wide = wide_enough(eligible, wish.task)
            wish.journey.too_long = wish.journey.too_long or (bool(eligible) and not wide)
            eligible = wide
        found = []
        for deployment in eligible:
            if (cooling_s := self._parts.breaker.cooling_s(deployment)) > 0:
                wish.journey.skipped(cooling_s=cooling_s)
            elif deployment not in wish.without:
                found.append(deployment)
        return found

    def probe(self, group: ModelGroup, deployment: Deployment, terms: Terms) -> Lease:
        """A lease of this very deployment, whatever its health and its limits."""
        return Lease(Choice(group, deployment, Journey(), terms, None), self._watch)

    async def lease(self, wish: Wish) -> Lease | None:
        """A lease of one of the candidates; None: none may be called now (the journey knows why)."""
        patience_s, step_s = wish.patience_s, WAIT_STEP_S
        while True:
            choice = await self._choice(wish)
            if isinstance(choice, Choice):
                return Lease(choice, self._watch)
            if isinstance(choice, Full):
                wish.journey.skipped(limited_s=choice.wait_s or WAIT_STEP_S_MAX)
                passing = choice.wait_s is None
            else:
                passing = self._under_trial(wish)
            if not passing or patience_s <= 0 or self._waiting >= WAITERS_MAX:
                return None
            self._waiting += 1
            try:
                await self._parts.clock.sleep(min(step_s, patience_s))
            finally:
                self._waiting -= 1
            patience_s -= step_s
            step_s = min(step_s * 2, WAIT_STEP_S_MAX)

    def _under_trial(self, wish: Wish) -> bool:
        """Whether it will soon be known if one of the deployments may be called."""
        candidates = (each for each in wish.group.deployments if each not in wish.without)
        return any(self._parts.breaker.under_trial(each) for each in candidates)

    async def _choice(self, wish: Wish) -> Choice | Full | None:
        """Full: whoever might be called is at its limits."""
        full: Full | None = None
        for tier in by_order(self.candidates(wish)):
            ranked = self._ranked(tier, wish)
            while ranked:
                taken = await self._take(ranked, wish)
                if isinstance(taken, Full):
                    full = taken if full is None else _sooner(full, taken)
                    break
                deployment, hold = taken
                admitted = await self._parts.breaker.admit(deployment)
                terms = wish.terms(deployment)
                if admitted and terms is not None:
                    return Choice(wish.group, deployment, wish.journey, terms, hold)
                if hold is not None:
                    self._parts.limits.settle(hold.taken, corrections(hold.amounts, Amounts(0)))
                if terms is None:
                    self._parts.breaker.given_up(deployment)
                    return None
                wish.journey.skipped(cooling_s=self._parts.breaker.cooling_s(deployment))
                ranked = [each for each in ranked if each != deployment]
        return full

    def _ranked(self, tier: Sequence[Deployment], wish: Wish) -> Sequence[Deployment]:
        config, random = self._parts.config, self._parts.random
        if len(tier) == 1:
            return tier
        name = config.group_strategies.get(wish.group.name, config.routing_strategy)
        ranked = strategy_of(name, config)([self._candidate(each, wish.task) for each in tier], random)
        ranked = payable_first(ranked, wish.task.remaining_budget_usd_nanos)
        return [each.deployment for each in ranked]

    def _candidate(self, deployment: Deployment, task: RouteTask) -> Candidate:
        state = self._parts.states.of(deployment)
        tokens = reserved(task.prompt_tokens, task.output_tokens_max)
        return Candidate(
            deployment=deployment,
            in_flight=state.in_flight,
            latency_s=self._parts.states.latency_s(state, stream=task.stream),
            minute_requests=state.minute_requests,
            minute_tokens=state.minute_tokens,
            cost_nanos=self._parts.prices.cost_nanos(
                deployment, tokens.prompt_tokens, tokens.completion_tokens
            ),
        )

    async def _take(self, ranked: Sequence[Deployment], wish: Wish) -> tuple[Deployment, Hold | None] | Full:
        """The first whose limits leave room."""
        if not ranked[0].limits.any:
            return ranked[0], None
        asked = ranked[:ASKED_MAX]
        now_s = self._parts.clock.now_ns() / 1e9
        amounts = reserved(wish.task.prompt_tokens, wish.task.output_tokens_max)
        asks = [ask_of(each, amounts, now_s) for each in asked]
        taken = await self._parts.limits.take(asks, uuid.uuid4().hex, wish.hold_s)
        if isinstance(taken, Full):
            return taken
        deployment = asked[taken.position]
        return deployment, Hold(taken, amounts) if deployment.limits.any else None


def _sooner(one: Full, other: Full) -> Full:
    if one.wait_s is None or other.wait_s is None:
        return Full(None)
    return Full(min(one.wait_s, other.wait_s))
