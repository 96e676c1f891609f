"""One request, as many calls as it takes: deployments of the group, retries, then fallback groups.

The loop is the same for whole answers and for streams; what it repeats is an `Action`, which returns as
soon as nothing may be repeated any more. Invariants: at most ATTEMPTS_MAX calls, none after the deadline,
no pause before a fallback, no group twice.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Generic, TypeVar

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.config.names import ModelGroup
from meshgate_chassis.errors import MeshError
from meshgate_router.breaker import Breaker
from meshgate_router.catalog import Catalog
from meshgate_router.failures import (
    Counts,
    Failure,
    cooling_down,
    error_of_failures,
    model_not_found,
    too_late,
)
from meshgate_router.metrics import RouterMetrics
from meshgate_router.policy import choose
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.retry import Situation, Worth, pause_s, worth_of
from meshgate_router.timing import CALL_S_MIN, RETURN_S, TimeoutRules, call_limits, configured_s
from meshgate_router.transport import CallTimeouts

ATTEMPTS_MAX: Final = 32  # calls for one request, whatever the configuration says

T = TypeVar("T")
Action = Callable[[Deployment, CallTimeouts], Awaitable[T]]

log = structlog.get_logger("meshgate.router")


@dataclass(frozen=True, slots=True)
class RouteTask:
    """`deadline_s`: on the monotonic clock. `num_retries`, `timeout_s`: None: as configured. `fallbacks`: not
    empty: instead of all configured ones."""

    model: str
    deadline_s: float
    stream: bool
    num_retries: int | None = None
    timeout_s: float | None = None
    fallbacks: Sequence[str] = ()
    request_id: str = ""


@dataclass(slots=True)
class Journey:
    """What happened to a request so far."""

    failures: list[Failure] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    retries: int = 0
    cooling_s: float | None = None  # until the first deployment that was skipped may be called

    @property
    def counts(self) -> Counts:
        return Counts(self.retries, max(0, len(self.groups) - 1))


@dataclass(frozen=True, slots=True)
class Served(Generic[T]):
    """The action's result, and where it came from. `retries`: within the group that answered."""

    value: T
    group: ModelGroup
    deployment: Deployment
    retries: int
    journey: Journey


@dataclass(frozen=True, slots=True)
class RoutingParts:
    """What the loop works with; all of it shared by all requests."""

    catalog: Catalog
    breaker: Breaker
    config: RouterConfig
    timeouts: TimeoutRules
    clock: Clock
    random: Random
    metrics: RouterMetrics


class AttemptLoop:
    """Runs an action until it succeeds, or until nothing is left to try."""

    def __init__(self, parts: RoutingParts) -> None:
        self._parts = parts

    async def run(self, task: RouteTask, action: Action[T]) -> Served[T]:
        """Raises MeshError MODEL_NOT_FOUND, DEPLOYMENTS_COOLING_DOWN, DEADLINE_TOO_CLOSE, or that of the
        first failure (failures.py)."""
        group = self._parts.catalog.find(task.model)
        if group is None:
            raise model_not_found(task.model)
        attempts = _Attempts(self._parts, task, action)
        served = await attempts.group(group, depth=0, more_follow=False)
        if served is None:
            raise _error(group, attempts.journey)
        return served

    def broken(self, served: Served[T], error: ProviderError) -> Failure:
        """Notes that a stream broke after its first chunks."""
        failure = Failure(served.group.name, served.deployment, error)
        note_failure(self._parts, served.group, failure)
        return failure


class _Attempts(Generic[T]):
    """The calls of one request."""

    def __init__(self, parts: RoutingParts, task: RouteTask, action: Action[T]) -> None:
        self._parts = parts
        self._task = task
        self._action = action
        self.journey = Journey()

    async def group(self, group: ModelGroup, *, depth: int, more_follow: bool) -> Served[T] | None:
        """The group itself, then its fallbacks, each with its own fallbacks in turn.

        `more_follow`: if all of them fail, there is another group to try.
        """
        self.journey.groups.append(group.name)
        targets = self._targets(group, depth)
        served = await self._deployments(group, more_follow=more_follow or bool(targets))
        if served is not None:
            return served
        targets = self._targets(group, depth)  # again: now it is known what went wrong
        for position, target in enumerate(targets):
            if target.name in self.journey.groups or not self._may_go_on():
                continue
            log.warning("fallback", from_model=group.name, to_model=target.name, reason=_reason(self.journey))
            self._parts.metrics.fallback()
            more = more_follow or position + 1 < len(targets)
            served = await self.group(target, depth=depth + 1, more_follow=more)
            if served is not None:
                return served
        return None

    def _targets(self, group: ModelGroup, depth: int) -> Sequence[ModelGroup]:
        """The groups to turn to when this one fails, without those already tried."""
        catalog, journey = self._parts.catalog, self.journey
        if depth >= self._parts.config.fallback_depth_max:
            return ()
        if self._task.fallbacks:
            names = self._task.fallbacks if depth == 0 else ()
        else:
            last = next((item for item in reversed(journey.failures) if item.group == group.name), None)
            names = catalog.fallbacks(group.name, ErrorKind.UNAVAILABLE if last is None else last.error.kind)
        found = (catalog.find(name) for name in names)
        return [target for target in found if target is not None and target.name not in journey.groups]

    async def _deployments(self, group: ModelGroup, *, more_follow: bool) -> Served[T] | None:
        """Calls within one group: the first, and its retries."""
        configured = self._parts.config.num_retries
        retries_max = configured if self._task.num_retries is None else self._task.num_retries
        spent: list[Deployment] = []  # failed here
        hopeless: list[Deployment] = []  # would fail again in the same way
        for retry in range(retries_max + 1):
            candidates = self._candidates(group, hopeless)
            if not candidates or not self._may_go_on():
                return None
            fresh = [deployment for deployment in candidates if deployment not in spent]
            deployment = choose(fresh or candidates, self._parts.random)
            self.journey.retries += retry > 0
            try:
                value = await self._call(group, deployment)
            except ProviderError as error:
                spent.append(deployment)
                if worth_of(error.kind) is not Worth.ANYWHERE:
                    hopeless.append(deployment)
                left = self._candidates(group, hopeless)
                situation = Situation(
                    retry=retry,
                    others=any(deployment not in spent for deployment in left),
                    fallbacks=more_follow,
                    retry_after_s=self._parts.config.retry_after_s,
                )
                if retry == retries_max or not left or not await self._pause(error, situation):
                    return None
            else:
                return Served(value, group, deployment, retry, self.journey)
        return None

    async def _call(self, group: ModelGroup, deployment: Deployment) -> T:
        parts, task = self._parts, self._task
        limit_s = configured_s(deployment, parts.config, stream=task.stream)
        limits = call_limits(limit_s, task.timeout_s, self._left_s(), parts.timeouts, stream=task.stream)
        assert limits is not None, "the time left was checked"
        start_s = parts.clock.monotonic_s()
        try:
            value = await self._action(deployment, limits.timeouts)
        except ProviderError as error:
            failure = Failure(group.name, deployment, error)
            self.journey.failures.append(failure)
            note_failure(parts, group, failure, shortened=limits.shortened)
            raise
        parts.breaker.succeeded(deployment)
        parts.metrics.answered(deployment.provider, parts.clock.monotonic_s() - start_s)
        return value

    def _candidates(self, group: ModelGroup, hopeless: Sequence[Deployment]) -> Sequence[Deployment]:
        candidates = []
        for deployment in group.deployments:
            cooling_s = self._parts.breaker.cooling_s(deployment)
            if cooling_s > 0:
                soonest_s = self.journey.cooling_s
                self.journey.cooling_s = cooling_s if soonest_s is None else min(soonest_s, cooling_s)
            elif deployment not in hopeless:
                candidates.append(deployment)
        return candidates

    async def _pause(self, error: ProviderError, situation: Situation) -> bool:
        """Waits before another call in the group; False: there is to be none."""
        parts = self._parts
        wait_s = pause_s(error, situation, parts.random.random())
        if wait_s is None or wait_s > self._left_s() - RETURN_S - CALL_S_MIN:
            return False
        if wait_s > 0:
            await parts.clock.sleep(wait_s)
        return True

    def _may_go_on(self) -> bool:
        return len(self.journey.failures) < ATTEMPTS_MAX and self._left_s() - RETURN_S >= CALL_S_MIN

    def _left_s(self) -> float:
        return self._task.deadline_s - self._parts.clock.monotonic_s()


def note_failure(
    parts: RoutingParts, group: ModelGroup, failure: Failure, *, shortened: bool = False
) -> None:
    """Tells the log, the metrics and the breaker. `shortened`: see CallLimits."""
    deployment, error = failure.deployment, failure.error
    parts.metrics.failed(deployment.provider, error.kind)
    log.warning(
        "provider call failed",
        model=group.name,
        provider=deployment.provider,
        deployment_id=deployment.id,
        reason=error.kind.value,
        status=error.upstream_status,
    )
    if shortened and error.kind is ErrorKind.TIMEOUT:
        return
    if parts.breaker.failed(deployment, error, alternatives=len(group.deployments) > 1):
        parts.metrics.cooldown(deployment.provider)
        log.warning("deployment cools down", model=group.name, deployment_id=deployment.id)


def _error(group: ModelGroup, journey: Journey) -> MeshError:
    """Nothing helped: why."""
    if journey.failures:
        return error_of_failures(group.name, journey.failures, journey.counts)
    if journey.cooling_s is not None:
        return cooling_down(group.name, journey.cooling_s)
    return too_late(group.name)


def _reason(journey: Journey) -> str:
    return journey.failures[-1].error.kind.value if journey.failures else "DEPLOYMENTS_COOLING_DOWN"
