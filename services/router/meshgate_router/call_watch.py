"""What becomes of every call: told to the breaker, the states and limits of deployments, metrics and log."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment
from meshgate_router.breaker import Breaker
from meshgate_router.deployment_limits import Limits
from meshgate_router.deployment_state import TIMEOUT_LATENCY_S, DeploymentState, DeploymentStates
from meshgate_router.failures import Failure
from meshgate_router.lease import Lease, Tokens
from meshgate_router.limit_rules import Amounts, corrections
from meshgate_router.metrics import RouterMetrics
from meshgate_router.providers.base import ErrorKind

log = structlog.get_logger("meshgate.router")


@dataclass(frozen=True, slots=True)
class WatchParts:
    """Who is told."""

    breaker: Breaker
    states: DeploymentStates
    limits: Limits
    metrics: RouterMetrics
    clock: Clock


class CallWatch:
    """Implements lease.Watch."""

    def __init__(self, parts: WatchParts) -> None:
        self._parts = parts

    def now_s(self) -> float:
        return self._parts.clock.monotonic_s()

    def first_tokens_s(self, deployment: Deployment) -> Sequence[float]:
        return self._parts.states.first_tokens_s(deployment)

    def started(self, lease: Lease) -> None:
        state = self._parts.states.of(lease.deployment)
        state.in_flight += 1
        state.minute_requests += 1

    def answered(self, lease: Lease) -> None:
        duration_s = self.now_s() - lease.start_s
        self._parts.breaker.succeeded(lease.deployment)
        self._parts.metrics.answered(lease.deployment.provider, duration_s)
        state = self._parts.states.of(lease.deployment)
        state.answers += 1
        state.failing = False
        if lease.terms.stream:
            self._parts.states.note_latency(state, duration_s, stream=True)

    def failed(self, lease: Lease, failure: Failure) -> None:
        deployment, error = failure.deployment, failure.error
        self._parts.metrics.failed(deployment.provider, error.kind)
        log.warning(
            "provider call failed",
            model=failure.group,
            provider=deployment.provider,
            deployment_id=deployment.id,
            reason=error.kind.value,
            status=error.upstream_status,
        )
        state = self._over(lease)
        state.failures += 1
        state.failing = True
        state.last_failure, state.last_failure_s = error.kind.value, self.now_s()
        state.last_status = error.http_status
        self._settle(lease, None if lease.has_answered else Amounts(1 if error.sent else 0))
        if error.own_credential or (error.kind is ErrorKind.TIMEOUT and lease.terms.shortened):
            self._parts.breaker.given_up(deployment)
            return
        if error.kind is ErrorKind.TIMEOUT:
            self._parts.states.note_latency(state, TIMEOUT_LATENCY_S, stream=lease.terms.stream)
        alternatives = lease.terms.fallbacks or len(lease.group.deployments) > 1
        if self._parts.breaker.failed(deployment, error, alternatives=alternatives):
            state.cooldowns += 1
            self._parts.metrics.cooldown(deployment.provider)
            log.warning("deployment cools down", model=failure.group, deployment_id=deployment.id)

    def ended(self, lease: Lease, tokens: Tokens | None, slow_s: float | None) -> None:
        state, stream = self._over(lease), lease.terms.stream
        if lease.answered_s is None:
            self._parts.breaker.given_up(lease.deployment)
            if slow_s is not None:
                self._parts.states.note_latency(state, slow_s, stream=stream)
        elif tokens is not None and not stream:
            per_token_s = (lease.answered_s - lease.start_s) / max(1, tokens.completion)
            self._parts.states.note_latency(state, per_token_s, stream=False)
        if tokens is None:
            self._settle(lease, None)
        else:
            state.minute_tokens += tokens.prompt + tokens.completion
            self._settle(lease, Amounts(1, tokens.prompt, tokens.completion))

    def _over(self, lease: Lease) -> DeploymentState:
        state = self._parts.states.of(lease.deployment)
        state.in_flight = max(0, state.in_flight - 1)
        return state

    def _settle(self, lease: Lease, used: Amounts | None) -> None:
        """`used`: None: what was reserved stands."""
        if lease.hold is not None:
            changes = {} if used is None else corrections(lease.hold.amounts, used)
            self._parts.limits.settle(lease.hold.taken, changes)
