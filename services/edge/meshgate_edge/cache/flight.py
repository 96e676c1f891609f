"""Single flight, as a call sees it: make an answer that others wait for, or wait for one that another makes.

The cache decides who does what (its contract: Flight). Here a leader's claim is kept alive while its call is
under way, and given back when the call ends without a stored answer; a follower waits, for a limited time.

Invariants: every claim ends with its call, whatever happens to it; waiting is never an error, and leaves the
call at least as much time as it took.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.deadline import detached_scope, remaining_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call_run import CallRun
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient

log = structlog.get_logger("meshgate.edge.flight")


@dataclass(frozen=True, slots=True)
class FlightRules:
    """`wait_s_max`: of one follower, and never more than half of the time that its call has. With less than
    `wait_s_min` a call neither leads nor waits. `attempts_max`: a lost replica of the cache costs one.
    """

    wait_s_max: float = 120.0
    wait_s_min: float = 0.5
    waiting_max: int = 1_000
    attempts_max: int = 3
    retry_pause_s: float = 0.1
    renew_pause_s: float = 1.5  # a lease is longer than three of them
    call_s: float = 2.0


DEFAULT_RULES: Final = FlightRules()


class Flights:
    """See the module. `keep` runs as long as calls do."""

    def __init__(
        self,
        cache: CacheServiceClient,
        config: CacheConfig,
        tasks: TaskOwner,
        clock: Clock,
        rules: FlightRules = DEFAULT_RULES,
    ) -> None:
        self._cache = cache
        self._config = config
        self._tasks = tasks
        self._clock = clock
        self._rules = rules
        self._held: dict[str, pb.FlightClaim] = {}  # by token
        self._waiting_count = 0

    def wanted(self, run: CallRun) -> bool:
        """Whether this call may lead or wait: its answer may come from the cache, and be stored."""
        options, config = run.call.options.cache, self._config
        if not config.single_flight or not (options.read and options.write) or options.max_age_s is not None:
            return False
        if run.call.request.stream and not config.single_flight_streams:
            return False
        return self.wait_s(run) >= self._rules.wait_s_min

    def wait_s(self, run: CallRun) -> float:
        """Half of what the call has at most: the other half is for making the answer after all."""
        limits = [self._rules.wait_s_max * 2]
        left_s, timeout_s = remaining_s(), run.call.options.timeout_s
        limits += [each for each in (left_s, timeout_s) if each is not None]
        return min(limits) / 2

    @contextmanager
    def open(self, run: CallRun) -> Iterator[None]:
        """For the block of a call: a claim that it still has at the end is given back."""
        try:
            yield
        finally:
            if run.flight_token:
                self.give_back(self._held.pop(run.flight_token))
                run.flight_token = ""

    async def join(self, run: CallRun, flight: pb.Flight) -> pb.Entry | None:
        """The answer that another made; None: this call makes it, and leads if it has got a token."""
        if flight.role == pb.FLIGHT_ROLE_FOLLOWER and self._waiting_count < self._rules.waiting_max:
            self._waiting_count += 1
            try:
                return await self._follow(run)
            finally:
                self._waiting_count -= 1
        self._lead(run, flight)
        return None

    def landed(self, run: CallRun) -> str:
        """The token to store the answer with; the cache ends the claim then."""
        token, run.flight_token = run.flight_token, ""
        self._held.pop(token, None)
        return token

    def end_unshared(self, run: CallRun) -> None:
        """The call has an answer that is for nobody else: who waits asks for one of their own, at once."""
        claim = self._held.get(run.flight_token)
        self.landed(run)
        if claim is not None:
            self.give_back(claim, unshared=True)

    async def keep(self) -> None:
        """Renews the claims of calls under way, for ever."""
        while True:
            await self._clock.sleep(self._rules.renew_pause_s)
            if not self._held:
                continue
            try:
                with detached_scope(self._rules.call_s):
                    await self._cache.renew_flights(pb.RenewFlightsRequest(claims=self._held.values()))
            except MeshError as error:
                log.info("claims not renewed", count=len(self._held), error=error.reason)

    async def _follow(self, run: CallRun) -> pb.Entry | None:
        end_s = self._clock.monotonic_s() + self.wait_s(run)
        request = pb.AwaitEntryRequest(
            tenant_id=run.account.tenant_id,
            cache_key=run.cache_key,
            namespace=run.call.options.cache.namespace,
        )
        for _ in range(self._rules.attempts_max):
            left_s = end_s - self._clock.monotonic_s()
            if left_s < self._rules.wait_s_min:
                return None
            try:
                answer = await self._cache.await_entry(request, timeout_s=left_s)
            except MeshError as error:
                log.info("not waited for another's answer", error=error.reason)
                if error.code != Code.UNAVAILABLE:
                    return None
                await self._clock.sleep(self._rules.retry_pause_s)
                continue
            if answer.HasField("entry"):
                return answer.entry
            self._lead(run, answer.flight)
            return None
        return None

    def _lead(self, run: CallRun, flight: pb.Flight) -> None:
        if flight.role != pb.FLIGHT_ROLE_LEADER:
            return
        run.flight_token = flight.token
        self._held[flight.token] = pb.FlightClaim(
            tenant_id=run.account.tenant_id,
            cache_key=run.cache_key,
            namespace=run.call.options.cache.namespace,
            token=flight.token,
        )

    def give_back(self, claim: pb.FlightClaim, *, unshared: bool = False) -> None:
        """Starts telling the cache that this call makes no answer, or none that is shared."""
        try:
            self._tasks.start(self._give_back(claim, unshared), "end")
        except MeshError as error:
            log.info("claim not given back: it ends with its lease", error=error.reason)

    async def _give_back(self, claim: pb.FlightClaim, unshared: bool) -> None:
        try:
            with detached_scope(self._rules.call_s):
                await self._cache.end_flight(pb.EndFlightRequest(claim=claim, unshared=unshared))
        except MeshError as error:
            log.info("claim not given back: it ends with its lease", error=error.reason)
