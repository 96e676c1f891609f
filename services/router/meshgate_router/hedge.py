"""Hedging: a call that is slower than usual gets a rival, and whoever answers first is the answer.

Only the beginning is raced: once the first token is there, nobody else is asked. The loser is cancelled at
once, which closes its connection, and is told as a leg, because it may cost something. Off by default.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import HedgingConfig
from meshgate_chassis.tasks import TaskOwner
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.hedge_rate import HedgeRate
from meshgate_router.journey import RouteTask
from meshgate_router.lease import Lease
from meshgate_router.legs import LEGS_MAX, Leg, LegReason
from meshgate_router.providers.base import ProviderError
from meshgate_router.transport import CancelledBeforeSentError, late

TASKS_MAX: Final = 30_000
TASKS_OF_A_RACE: Final = 3
RATES_MAX: Final = 10_000  # groups remembered; wildcards can name any number of models

NOT_SENT: Final = late("the rival was faster than the connection", sent=False)

T = TypeVar("T")
Open = Callable[[Lease], Awaitable[T]]

log = structlog.get_logger("meshgate.router")


@dataclass(frozen=True, slots=True)
class Received:
    """What a call that is given up had brought already."""

    usage: pb.Usage | None = None
    whole: bool = False
    text: str = ""


class Alternatives(Protocol):
    """Where a rival comes from (meshgate_router.attempt)."""

    async def alternative(self, task: RouteTask, lease: Lease, *, same: bool = False) -> Lease | None: ...


@dataclass(slots=True)
class _Runner(Generic[T]):
    """One call of a race."""

    lease: Lease
    work: "asyncio.Task[T | ProviderError]"

    @property
    def error(self) -> ProviderError | None:
        """None: it is under way, or has answered."""
        if not self.work.done() or self.work.cancelled():
            return None
        result = self.work.result()
        return result if isinstance(result, ProviderError) else None


class Hedger:
    """Races calls of all groups. `discard` closes a value that is not needed and says what it had brought."""

    def __init__(
        self, config: HedgingConfig, alternatives: Alternatives, tasks: TaskOwner, clock: Clock
    ) -> None:
        self._config = config
        self._alternatives = alternatives
        self._tasks = tasks
        self._clock = clock
        self._rates: dict[tuple[str, bool], HedgeRate] = {}

    async def open(
        self, task: RouteTask, lease: Lease, call: Open[T], discard: Callable[[T], Received]
    ) -> tuple[T, Lease]:
        """The first answer of the lease's deployment or of a rival. Raises the lease's ProviderError."""
        wanted = self._config.enabled and task.extra_calls
        if not wanted or not (task.stream or self._config.whole_answers):
            return await call(lease), lease
        rate, start_s = self._rate(lease, stream=task.stream), self._clock.monotonic_s()
        delay_s = rate.called(start_s)
        if delay_s is None or self._tasks.count > TASKS_MAX - TASKS_OF_A_RACE:
            value, winner = await call(lease), lease
        else:
            race = _Race(call, discard, self._tasks)
            try:
                race.enter(lease)
                if not await race.answers_within(delay_s, self._clock):
                    await self._add_rival(race, task, lease, rate)
                value, winner = await race.winner()
            finally:
                await race.end()
        now_s = self._clock.monotonic_s()
        rate.took(now_s, now_s - start_s)
        return value, winner

    async def _add_rival(self, race: "_Race[T]", task: RouteTask, lease: Lease, rate: HedgeRate) -> None:
        if not rate.may_hedge(self._clock.monotonic_s()):
            return
        rival = await self._alternatives.alternative(task, lease)
        if rival is None and self._config.same_deployment and len(lease.group.deployments) == 1:
            rival = await self._alternatives.alternative(task, lease, same=True)
        if rival is not None:
            log.info("hedge", model=lease.group.name, deployment_id=rival.deployment.id)
            race.enter(rival)

    def _rate(self, lease: Lease, *, stream: bool) -> HedgeRate:
        key = lease.group.name, stream
        rate = self._rates.get(key)
        if rate is None:
            if len(self._rates) >= RATES_MAX:
                del self._rates[next(iter(self._rates))]
            rate = self._rates[key] = HedgeRate(self._config)
        return rate


class _Race(Generic[T]):
    """One or two calls for the same answer. Invariant: after `end` none is under way, and every lease but
    the first, which is its giver's, is over."""

    def __init__(self, call: Open[T], discard: Callable[[T], Received], tasks: TaskOwner) -> None:
        self._call = call
        self._discard = discard
        self._tasks = tasks
        self._runners: list[_Runner[T]] = []
        self._won: _Runner[T] | None = None

    def enter(self, lease: Lease) -> None:
        """Begins a call."""
        self._runners.append(_Runner(lease, self._tasks.start(self._run(lease), "hedged call")))

    async def answers_within(self, delay_s: float, clock: Clock) -> bool:
        """True: nothing more needs to be asked; a failure is the loop's to judge."""
        timer = self._tasks.start(clock.sleep(delay_s), "hedge delay")
        first = self._runners[0].work
        try:
            await asyncio.wait({first, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return first.done()

    async def winner(self) -> tuple[T, Lease]:
        """The first answer; raises the first call's error when none answers."""
        while running := [runner.work for runner in self._runners if not runner.work.done()]:
            if self._pick():
                break
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        self._pick()
        first = self._runners[0]
        if self._won is None:
            assert first.error is not None, "nobody answered, so everybody failed"
            raise first.error
        if self._won is not first and first.error is not None:
            first.lease.failed(first.error)
        result = self._won.work.result()
        assert not isinstance(result, ProviderError), "a winner has answered"
        return result, self._won.lease

    async def end(self) -> None:
        """Cancels what is under way, and tells what the losers may have cost."""
        losers = [runner for runner in self._runners if runner is not self._won]
        for runner in losers:
            runner.work.cancel()
        if any(not runner.work.done() for runner in losers):
            await asyncio.wait([runner.work for runner in losers])
        for runner in losers:
            self._lost(runner)

    def _pick(self) -> bool:
        for runner in self._runners:
            if self._won is None and runner.work.done() and runner.error is None:
                self._won = runner
        return self._won is not None

    def _lost(self, runner: _Runner[T]) -> None:
        lease = runner.lease
        if runner.error is NOT_SENT:
            lease.ended()
            return
        if runner.error is not None:
            if runner is not self._runners[0]:
                lease.failed(runner.error)
            return
        received = Received()
        if not runner.work.cancelled():
            value = runner.work.result()
            assert not isinstance(value, ProviderError), "it has no error"
            received = self._discard(value)
        legs = lease.journey.legs
        if self._won is not None and len(legs) < LEGS_MAX:
            legs.append(
                Leg(
                    lease.deployment,
                    lease.group.name,
                    LegReason.HEDGE_LOST,
                    received.usage,
                    received.whole,
                    received.text,
                )
            )
        lease.ended()

    async def _run(self, lease: Lease) -> "T | ProviderError":
        """A call that was cancelled before it was sent counts as one that failed: it costs nothing."""
        try:
            return await self._call(lease)
        except ProviderError as error:
            return error
        except CancelledBeforeSentError:
            return NOT_SENT
