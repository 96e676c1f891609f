"""One request, as many calls as it takes: deployments of the group, retries, then fallback groups.

The loop is the same for whole answers and for streams; what it repeats is an `Action`, which returns as
soon as nothing may be repeated any more. Invariants: at most ATTEMPTS_MAX calls, none after the deadline,
no pause before a fallback, no group twice.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Generic, TypeVar

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.config.names import ModelGroup
from meshgate_router.catalog import Catalog
from meshgate_router.deadline_split import share_s
from meshgate_router.failures import Failure, Passed, model_not_found
from meshgate_router.journey import Again, Journey, RouteTask
from meshgate_router.lease import Lease, Terms
from meshgate_router.metrics import RouterMetrics
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.resume import journey_of
from meshgate_router.retry import Situation, Worth, pause_s, retries_max, worth_of
from meshgate_router.retry_budget import RetryBudget
from meshgate_router.selection import Selector, Wish
from meshgate_router.timing import (
    CALL_S_MIN,
    RETURN_S,
    TELLING_S,
    TimeoutRules,
    call_limits,
    configured_s,
    rules_for,
)
from meshgate_router.unanswered import error_of, last_reason, skip_reason

ATTEMPTS_MAX: Final = 32  # calls for one request, whatever the configuration says
PATIENCE_S_MAX: Final = 30.0  # for one of max_parallel_requests to end, where nobody else can be asked
HOLD_MARGIN_S: Final = 5.0  # a call that did not report its end this long after its deadline has ended

T = TypeVar("T")
Action = Callable[[Lease], Awaitable[tuple[T, Lease]]]
"""Calls the lease's deployment within its timeouts; returns the value and the lease that gave it, which is
another one when a hedge won. Raises ProviderError."""

log = structlog.get_logger("meshgate.router")


@dataclass(frozen=True, slots=True)
class Served(Generic[T]):
    """The action's result, and where it came from. `retries`: within the group that answered. Whoever gets it
    ends its lease."""

    value: T
    lease: Lease
    retries: int

    @property
    def group(self) -> ModelGroup:
        return self.lease.group

    @property
    def deployment(self) -> Deployment:
        return self.lease.deployment

    @property
    def journey(self) -> Journey:
        return self.lease.journey


@dataclass(frozen=True, slots=True)
class RoutingParts:
    """What the loop works with; all of it shared by all requests."""

    catalog: Catalog
    selector: Selector
    config: RouterConfig
    timeouts: TimeoutRules
    clock: Clock
    random: Random
    metrics: RouterMetrics
    retry_budget: RetryBudget


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
        journey = journey_of(task.resume, self._parts.catalog) if task.resume else Journey()
        attempts = _Attempts(self._parts, task, action, journey)
        if task.resume:
            served = await attempts.resumed()
        else:
            served = await attempts.group(group, depth=0, following=())
        if served is None:
            raise error_of(group, journey)
        return served

    async def resume(self, task: RouteTask, broken: Lease, action: Action[T]) -> Served[T]:
        """Goes on after a stream broke: with the other deployments of its group, then with the fallbacks that
        were not tried. `broken` has failed already. The journey is the same. Raises as `run`."""
        journey = broken.journey
        attempts = _Attempts(self._parts, task, action, journey)
        earlier = [name if name != broken.group.name else "" for name in journey.groups]
        depth = journey.counts.fallbacks
        served = await attempts.group(broken.group, depth=depth, following=(), without=[broken.deployment])
        served = served or await attempts.fallbacks_of(earlier)
        if served is None:
            raise error_of(broken.group, journey)
        return served

    def note_rest(self, task: RouteTask, broken: Lease, can: Callable[[Deployment], bool]) -> None:
        """Notes in the journey who `can` go on with a stream that broke, and has to be paid for first."""
        _Attempts(self._parts, task, _nothing, broken.journey).note_rest(broken, can)

    async def alternative(
        self, task: RouteTask, lease: Lease, without: Collection[Deployment] = (), *, same: bool = False
    ) -> Lease | None:
        """Another deployment of the lease's group, to be asked at the same time: None when there is none that
        may be called now, or too little time. End the lease; its failure is told in the same journey.
        `same`: the lease's own deployment will do."""
        attempts = _Attempts(self._parts, task, _nothing, lease.journey)
        own = () if same else (lease.deployment,)
        return await attempts.lease(lease.group, following=(), without=[*own, *without], patient=False)


async def _nothing(lease: Lease) -> tuple[None, Lease]:
    return None, lease


class _Attempts(Generic[T]):
    """The calls of one request."""

    def __init__(self, parts: RoutingParts, task: RouteTask, action: Action[T], journey: Journey) -> None:
        self._parts = parts
        self._task = task
        self._action = action
        self._journey = journey

    async def group(
        self,
        group: ModelGroup,
        *,
        depth: int,
        following: Sequence[ModelGroup],
        without: Sequence[Deployment] = (),
    ) -> Served[T] | None:
        """The group itself, then its fallbacks, each with its own fallbacks in turn.

        `following`: groups that are tried if all of these fail. `without`: deployments not to be called.
        """
        if group.name not in self._journey.groups:
            self._journey.groups.append(group.name)
        targets = self._targets(group, depth)
        served = await self._deployments(group, [*targets, *following], without)
        return served or await self.fallbacks(group, depth=depth, following=following)

    async def fallbacks(
        self, group: ModelGroup, *, depth: int, following: Sequence[ModelGroup]
    ) -> Served[T] | None:
        """The groups to turn to now that it is known what went wrong with this one."""
        targets = self._targets(group, depth)
        for position, target in enumerate(targets):
            if target.name in self._journey.groups or not self._may_go_on() or not self._covered(target):
                continue
            log.warning(
                "fallback", from_model=group.name, to_model=target.name, reason=last_reason(self._journey)
            )
            self._parts.metrics.fallback()
            after = [*targets[position + 1 :], *following]
            served = await self.group(target, depth=depth + 1, following=after)
            if served is not None:
                return served
        return None

    async def resumed(self) -> Served[T] | None:
        """Goes on where another RPC stopped: with the group that was to be asked once more if that is paid
        for by now, then with fallbacks."""
        again, self._journey.again = self._journey.again, None
        names = list(self._journey.groups)
        group = self._parts.catalog.find(again.group) if again is not None else None
        if again is not None and group is not None and self._covered(group):
            targets = self._targets(group, names.index(again.group))
            served = await self._deployments(group, targets, (), again)
            if served is not None:
                return served
        return await self.fallbacks_of(names)

    async def fallbacks_of(self, names: Sequence[str]) -> Served[T] | None:
        """Of groups that were tried, the last first; their places are their depths. "": none."""
        for depth, name in reversed(list(enumerate(names))):
            group = self._parts.catalog.find(name) if name else None
            if group is not None:
                served = await self.fallbacks(group, depth=depth, following=())
                if served is not None:
                    return served
        return None

    def _covered(self, target: ModelGroup) -> bool:
        """Whether its price was granted; else it is noted."""
        covered = self._task.covered
        if covered is None or (target.name in covered and not self._journey.unanswered_legs):
            return True
        self._note_uncovered(target)
        return False

    def _note_uncovered(self, target: ModelGroup) -> None:
        if target.name not in self._journey.uncovered:
            self._journey.uncovered.append(target.name)

    def note_rest(self, broken: Lease, can: Callable[[Deployment], bool]) -> None:
        """The group's other deployments, then fallbacks, as `resumed` would ask them."""
        group, journey, without = broken.group, self._journey, [broken.deployment]
        journey.uncovered, journey.again = [], None
        if any(map(can, self._candidates(group, without))):
            self._note_uncovered(group)
            journey.again = Again(group.name, 0, (), _ids(without))
        for depth, name in reversed(list(enumerate(journey.groups))):
            tried = self._parts.catalog.find(name)
            targets = () if tried is None else self._targets(tried, depth)
            journey.uncovered += [each.name for each in targets if any(map(can, each.deployments))]

    def _is_paid(self, group: ModelGroup, again: Again) -> bool:
        """Whether another call may be made: where a budget applies, a call that may have been served has used
        up what was held for the request. Else it is noted."""
        if self._task.covered is None or not self._journey.unanswered_legs:
            return True
        self._note_uncovered(group)
        self._journey.again = again
        return False

    def _targets(self, group: ModelGroup, depth: int) -> Sequence[ModelGroup]:
        """The groups to turn to when this one fails, without those already tried."""
        catalog, journey = self._parts.catalog, self._journey
        if depth >= self._parts.config.fallback_depth_max:
            return ()
        if self._task.fallbacks:
            names = self._task.fallbacks if depth == 0 else ()
        else:
            last = next((item for item in reversed(journey.failures) if item.group == group.name), None)
            called = (self._task.model, group.name) if group.name == journey.groups[0] else (group.name,)
            names = catalog.fallbacks(called, ErrorKind.UNAVAILABLE if last is None else last.error.kind)
        found = (catalog.find(name) for name in names)
        return [target for target in found if target is not None and target.name not in journey.groups]

    async def _deployments(
        self,
        group: ModelGroup,
        following: Sequence[ModelGroup],
        without: Sequence[Deployment],
        again: Again | None = None,
    ) -> Served[T] | None:
        """Calls within one group: the first, and its retries. `again`: those before were another RPC's."""
        self._parts.retry_budget.request(group.name)
        spent: list[Deployment] = []  # failed here
        hopeless = [*without]  # would fail again in the same way
        if again is not None:
            spent += (each for each in group.deployments if each.id in again.spent)
            hopeless += (each for each in group.deployments if each.id in again.hopeless)
        for retry in range(0 if again is None else again.retry, ATTEMPTS_MAX):
            lease = await self.lease(group, following=following, without=[*hopeless, *spent])
            if lease is None and spent:
                lease = await self.lease(group, following=following, without=hopeless)
            if lease is None:
                self._note_why_not(group, called=bool(spent))
                return None
            self._journey.retries += retry > 0
            try:
                value, winner = await self._call(lease)
            except ProviderError as error:
                spent.append(lease.deployment)
                if not await self._may_retry(lease, error, retry, spent, hopeless, bool(following)):
                    return None
                if not self._is_paid(group, Again(group.name, retry + 1, _ids(spent), _ids(hopeless))):
                    return None
            else:
                return Served(value, winner, retry)
        return None

    async def _may_retry(
        self,
        lease: Lease,
        error: ProviderError,
        retry: int,
        spent: Sequence[Deployment],
        hopeless: list[Deployment],
        fallbacks: bool,
    ) -> bool:
        """Whether the group is asked once more; waits until it may be."""
        config, group = self._parts.config, lease.group
        most, wanted = retries_max(self._task.num_retries, lease.deployment, group.name, config, error.kind)
        if retry >= most:
            return False
        if worth_of(error.kind) is not Worth.ANYWHERE and not wanted:
            hopeless.append(lease.deployment)
        left = self._candidates(group, hopeless)
        others = any(deployment not in spent for deployment in left)
        situation = Situation(retry, others, fallbacks, config.retry_after_s, wanted)
        wait_s = pause_s(error, situation, self._parts.random.random()) if left else None
        if wait_s is None or wait_s > self._left_s() - RETURN_S - CALL_S_MIN:
            return False
        if not others and not self._parts.retry_budget.allow(group.name):
            log.warning("retry budget spent", model=group.name)
            return False
        if wait_s > 0:
            await self._parts.clock.sleep(wait_s)
        return True

    def _note_why_not(self, group: ModelGroup, *, called: bool) -> None:
        """A context window that is too small is a failure like that of a provider that says so."""
        where = group.deployments[0]
        if self._journey.too_long:
            self._journey.too_long = False
            message = f"the prompt is too long for every deployment of {group.name}"
            error = ProviderError(ErrorKind.CONTEXT_WINDOW_EXCEEDED, message, 400, sent=False)
            self._journey.failures.append(Failure(group.name, where, error))
        elif not called:
            self._journey.passed.append(Passed(group.name, where.provider, skip_reason(self._journey)))

    async def lease(
        self,
        group: ModelGroup,
        *,
        following: Sequence[ModelGroup],
        without: Collection[Deployment],
        patient: bool = True,
    ) -> Lease | None:
        """A deployment to call now; None: there is none, or too little time. `patient`: where there is no
        other group, wait for a call to end that stands in the way."""
        if not self._may_go_on():
            return None
        following_s = [self._longest_s(each) for each in following]
        patience_s = 0.0 if following or not patient else min(PATIENCE_S_MAX, self._left_s() / 2)
        wish = Wish(
            task=self._task,
            group=group,
            journey=self._journey,
            terms=lambda where: self._terms(where, following_s),
            hold_s=self._left_s() + HOLD_MARGIN_S,
            without=without,
            patience_s=patience_s,
        )
        return await self._parts.selector.lease(wish)

    async def _call(self, lease: Lease) -> tuple[T, Lease]:
        try:
            value, winner = await self._action(lease)
            winner.answered()
        except ProviderError as error:
            lease.failed(error)
            raise
        else:
            return value, winner
        finally:
            if not lease.has_answered:
                lease.ended()  # It was cancelled, or another one won.

    def _terms(self, deployment: Deployment, following_s: Sequence[float]) -> Terms | None:
        """None: too little time is left."""
        parts, task = self._parts, self._task
        configured = configured_s(deployment, parts.config, stream=task.stream)
        left_s = self._left_s()
        limit_s = min(configured, share_s(left_s - RETURN_S, following_s))
        requested_s = None if task.timeout_s is None else min(task.timeout_s, limit_s)
        rules = rules_for(parts.timeouts, deployment, parts.config)
        limits = call_limits(limit_s, requested_s, left_s, rules, stream=task.stream)
        if limits is None:
            return None
        shortened = limits.shortened or limit_s < min(configured, TELLING_S)
        return Terms(limits.timeouts, shortened, task.stream, fallbacks=bool(following_s))

    def _longest_s(self, group: ModelGroup) -> float:
        """How long the slowest deployment of a group may take."""
        config, stream = self._parts.config, self._task.stream
        return max(configured_s(each, config, stream=stream) for each in group.deployments)

    def _candidates(self, group: ModelGroup, without: Collection[Deployment]) -> Sequence[Deployment]:
        wish = Wish(self._task, group, self._journey, lambda _: None, 0.0, without)
        return self._parts.selector.candidates(wish)

    def _may_go_on(self) -> bool:
        return len(self._journey.failures) < ATTEMPTS_MAX and self._left_s() - RETURN_S >= CALL_S_MIN

    def _left_s(self) -> float:
        return self._task.deadline_s - self._parts.clock.monotonic_s()


def _ids(deployments: Collection[Deployment]) -> Sequence[str]:
    return [deployment.id for deployment in deployments]
