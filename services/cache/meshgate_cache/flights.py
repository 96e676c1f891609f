"""Single flight: of all who miss the same answer at the same time, on any replica, one makes it.

The others wait for it. The claim is kept where the answer will be (`claims`), so replicas need nothing else
in common. All who wait here for one answer share one watch: it looks now and then, and at once when something
happened on this replica.

Invariants: a watch hands a claim that became free to exactly one who waits; nobody waits for more than
`leaders_max` leaders, nor after the store could not tell `failures_max` times; nobody waits unbounded.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import structlog

from meshgate_cache.circuit import NOT_ASKED
from meshgate_cache.claims import Claim, Look
from meshgate_cache.entry import CacheEntry
from meshgate_cache.store import Store
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner

log = structlog.get_logger("meshgate.cache.flights")

CALL_S: Final = 1.0  # of the store, for what nobody waits for


@dataclass(frozen=True, slots=True)
class FlightRules:
    """`lease_s`: how long a leader that died holds up others; a living one renews it. `waiting_max`: on this
    replica, fewer than the calls that it may have under way. A watch pauses a tenth of the time it has waited
    so far, within its bounds: followers are late by 10 % at most; slow answers are not asked for often."""

    lease_s: float = 5.0
    waiting_max: int = 2_000
    leaders_max: int = 3
    failures_max: int = 5
    pause_s_min: float = 0.010
    pause_s_max: float = 0.250


DEFAULT_RULES: Final = FlightRules()


class Role(Enum):
    """What a caller does who has no answer."""

    ALONE = "alone"
    LEADER = "leader"
    FOLLOWER = "follower"


@dataclass(frozen=True, slots=True)
class Landing:
    """What came of asking: an answer, or a role; `token` is set iff it is LEADER."""

    role: Role
    entry: CacheEntry | None = None
    token: str = ""


ALONE: Final = Landing(Role.ALONE)
FOLLOWER: Final = Landing(Role.FOLLOWER)


@dataclass(slots=True)
class _Watch:
    """Those who wait for one place, the first who came first."""

    waiting: list[asyncio.Future[Landing]] = field(default_factory=list)
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    leaders: set[str] = field(default_factory=set)
    failures: int = 0

    def tell_all(self, landing: Landing) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(landing)
        self.waiting.clear()


class Flights:
    """See the module. `tasks` owns one watch for each place that is waited for."""

    def __init__(
        self,
        store: Store,
        tasks: TaskOwner,
        clock: Clock,
        new_token: Callable[[], str],
        rules: FlightRules = DEFAULT_RULES,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._new_token = new_token
        self._rules = rules
        self._watches: dict[str, _Watch] = {}
        self._waiting_count = 0

    @property
    def lease_s(self) -> float:
        """A leader renews its claim before this is over."""
        return self._rules.lease_s

    @property
    def waiting_count(self) -> int:
        """Callers that wait here."""
        return self._waiting_count

    async def board(self, key: str, remaining_s: float) -> Landing:
        """The answer at a store key, or who makes it: this caller, if nobody did. One round trip.

        Raises UNAVAILABLE/STORE_UNAVAILABLE.
        """
        claim = self._claim(key)
        try:
            look = await self._store.get_or_claim(claim, remaining_s)
        except (MeshError, asyncio.CancelledError) as error:
            if not (isinstance(error, MeshError) and error.metadata.get("cause") == NOT_ASKED):
                self.end_soon(key, claim.token)  # it may stand, and nobody knows of it
            raise
        return _landing(look, claim.token)

    async def wait(self, key: str, wait_s: float) -> Landing:
        """The answer when it is there; LEADER for the one who makes it now; ALONE after `wait_s` at most.

        Raises RESOURCE_EXHAUSTED/QUEUE_FULL when too many wait here already.
        """
        if self._waiting_count >= self._rules.waiting_max:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many callers wait for answers")
        future: asyncio.Future[Landing] = asyncio.get_running_loop().create_future()
        self._watch(key).waiting.append(future)
        self._waiting_count += 1
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                return await future
        except TimeoutError:
            return future.result() if future.done() and not future.cancelled() else ALONE
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result().role is Role.LEADER:
                self.end_soon(key, future.result().token)  # it was chosen, and has gone
            raise
        finally:
            self._waiting_count -= 1
            future.cancel()

    async def renew(self, held: list[tuple[str, str]], remaining_s: float) -> int:
        """(store key, token) of leaders that are at work; returns how many still lead."""
        claims = [Claim(key, token, self._rules.lease_s) for key, token in held]
        return await self._store.renew(claims, remaining_s)

    async def end(self, key: str, token: str, remaining_s: float, *, unshared: bool = False) -> None:
        """A leader made no answer, or one that is not kept (`unshared`: then nobody waits for the next)."""
        claim = Claim(key, token, self._rules.lease_s)
        await self._store.release(claim, unshared=unshared, remaining_s=remaining_s)
        self.happened(key)

    def end_soon(self, key: str, token: str) -> None:
        """As `end`, without waiting. If it fails, the lease ends."""

        async def work() -> None:
            try:
                await self.end(key, token, CALL_S)
            except MeshError as error:
                log.debug("claim not released", error=error.reason)

        try:
            self._tasks.start(work(), "end")
        except MeshError as error:
            log.debug("claim not released", error=error.reason)

    def happened(self, key: str) -> None:
        """An answer was stored here, or a claim ended: who waits here looks at once."""
        watch = self._watches.get(key)
        if watch is not None:
            watch.happened.set()

    def _claim(self, key: str) -> Claim:
        return Claim(key, self._new_token(), self._rules.lease_s)

    def _watch(self, key: str) -> _Watch:
        watch = self._watches.get(key)
        if watch is None:
            watch = _Watch()
            self._tasks.start(self._run(key, watch), "watch")
            self._watches[key] = watch
        return watch

    async def _run(self, key: str, watch: _Watch) -> None:
        """Looks until nobody waits any more."""
        start_s = self._clock.monotonic_s()
        try:
            while True:
                watch.waiting = [future for future in watch.waiting if not future.done()]
                if not watch.waiting:
                    return
                watch.happened.clear()
                if await self._look(key, watch):
                    continue  # somebody leads now, the others wait for it
                pause_s = (self._clock.monotonic_s() - start_s) / 10
                pause_s = min(max(pause_s, self._rules.pause_s_min), self._rules.pause_s_max)
                try:
                    async with asyncio.timeout(pause_s):
                        await watch.happened.wait()
                except TimeoutError:
                    pass
        finally:
            del self._watches[key]
            watch.tell_all(ALONE)

    async def _look(self, key: str, watch: _Watch) -> bool:
        """Tells those who wait what there is to tell. True: one of them was made the leader."""
        claim = self._claim(key)
        try:
            look = await self._store.get_or_claim(claim, CALL_S)
        except MeshError:
            watch.failures += 1
            if watch.failures >= self._rules.failures_max:
                watch.tell_all(ALONE)
            return False
        watch.failures = 0
        landing = _landing(look, claim.token)
        if landing.role is Role.LEADER:
            return self._lead(key, watch, landing)
        if landing is not FOLLOWER:
            watch.tell_all(landing)
            return False
        watch.leaders.add(look.holder)
        if len(watch.leaders) > self._rules.leaders_max:
            watch.tell_all(ALONE)
        return False

    def _lead(self, key: str, watch: _Watch, landing: Landing) -> bool:
        while watch.waiting:
            first = watch.waiting.pop(0)
            if not first.done():
                first.set_result(landing)
                watch.leaders.add(landing.token)
                return True
        self.end_soon(key, landing.token)  # all have gone meanwhile
        return False


def _landing(look: Look, token: str) -> Landing:
    if look.entry is not None:
        return Landing(Role.ALONE, look.entry)
    if look.holder == token:
        return Landing(Role.LEADER, token=token)
    return FOLLOWER if look.holder else ALONE
