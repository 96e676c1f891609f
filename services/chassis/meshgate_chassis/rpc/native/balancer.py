"""The connections to one service: one for each of its addresses, calls in turn over those that are ready.

Invariants: who calls waits only while nobody knows yet whether the service can be reached; an address that
cannot be reached is tried again for as long as the channel is open, at a pace; a connection that the service
is leaving gets no new calls and ends with its last one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2.client import Address, ClientConnection
from meshgate_chassis.rpc.native.reasons import why_not
from meshgate_chassis.rpc.native.resolver import ADDRESSES_MAX
from meshgate_chassis.rpc.options import (
    ATTEMPT_MS_MAX,
    BACKOFF_MS_MAX,
    BACKOFF_MS_MIN,
    CONCURRENT_CALLS_MAX,
)
from meshgate_chassis.tasks import TaskOwner

PLACES_MAX: Final = (
    2 * ADDRESSES_MAX
)  # with those that vanished, and are kept while they alone can be reached
WAITING_CALLS_MAX: Final = CONCURRENT_CALLS_MAX  # for a first connection; more are refused
BACKOFF_FACTOR: Final = 1.6
JITTER: Final = 0.2  # of a backoff, so that those who lost a service together do not come back together
CLOSE_S_MAX: Final = 1.0  # for what was written last to leave


@dataclass(frozen=True, slots=True)
class Pace:
    """Times, in seconds. `attempt_s_max`: of one attempt to connect, with the service's first words.
    `lookup_s`: between two look-ups of a name while all is well, which find new replicas."""

    attempt_s_max: float = ATTEMPT_MS_MAX / 1_000
    backoff_s_min: float = BACKOFF_MS_MIN / 1_000
    backoff_s_max: float = BACKOFF_MS_MAX / 1_000
    lookup_s: float = 30.0
    lookup_s_min: float = 1.0

    def backoff_s(self, failures: int, chance: float) -> float:
        """After so many failures in a row; `chance` is between 0 and 1."""
        exponent = min(failures - 1, 20)
        whole_s: float = min(self.backoff_s_min * BACKOFF_FACTOR**exponent, self.backoff_s_max)
        return whole_s * (1 - JITTER * chance)


@dataclass(frozen=True, slots=True)
class Ways:
    """How a service is found and reached. `where`: for messages. `addresses` and `open` raise OSError."""

    where: str  # "the ledger at dns:///ledger:50051"
    addresses: Callable[[], Awaitable[list[Address]]]
    open: Callable[[Address], Awaitable[ClientConnection]]
    lookups: bool = True  # False: the addresses never change


class Place:
    """One address, and what became of the last attempt to connect to it."""

    __slots__ = ("address", "connection", "failure", "failures", "left", "task")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.connection: ClientConnection | None = None  # ready for calls
        self.failure: OSError | None = None  # of the last attempt; None before and after a good one
        self.failures = 0  # in a row
        self.left = asyncio.Event()  # its connection takes no more calls
        self.task: asyncio.Task[None] | None = None


class Balancer:
    """Begins to connect when it is first asked. `chance`: a number between 0 and 1, at random."""

    def __init__(
        self, ways: Ways, pace: Pace | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self._ways = ways
        self._pace = Pace() if pace is None else pace
        self._chance = chance
        self._tasks = TaskOwner("rpc-connections", 2 * PLACES_MAX)  # some are just ending
        self._places: dict[Address, Place] = {}
        self._ready: list[ClientConnection] = []
        self._leaving: set[ClientConnection] = set()  # they still have calls
        self._turn = 0
        self._changed = asyncio.Event()  # set for a moment whenever a waiting call may go on
        self._lookup_due = asyncio.Event()
        self._lookup_failure: OSError | None = None
        self._waiting_calls = 0
        self._started = self._closed = False

    def pick(self, refused_by: object = None) -> ClientConnection | None:
        """The next connection in turn that takes a call now, another one than `refused_by`; None: `wait`
        tells why not."""
        ready = self._ready
        count = len(ready)
        for offset in range(count):
            turn = (self._turn + offset) % count
            if ready[turn].usable and ready[turn] is not refused_by:
                self._turn = turn + 1
                return ready[turn]
        return None

    async def wait(self, timeout_s: float, refused_by: object = None) -> ClientConnection:
        """A connection that takes a call, once there is one; `refused_by` only if there can be no other.

        Raises UNAVAILABLE/SERVICE_UNREACHABLE, at once when no address could be reached, and
        RESOURCE_EXHAUSTED/TOO_MANY_CALLS.
        """
        if self._waiting_calls >= WAITING_CALLS_MAX:
            raise _too_many(f"{WAITING_CALLS_MAX} calls wait for {self._ways.where}")
        self._start()
        self._waiting_calls += 1
        try:
            async with asyncio.timeout(timeout_s):
                while (connection := self._picked_or_failed(refused_by)) is None:
                    await self._changed.wait()
                return connection
        except TimeoutError:
            raise self._unreachable(f"no answer within {timeout_s:.3g} s") from None
        finally:
            self._waiting_calls -= 1

    async def close(self) -> None:
        """Ends all connections and the calls on them."""
        self._closed = True
        self._wake()
        await self._tasks.drain(0.0)
        open_connections = [*self._ready, *self._leaving]
        self._ready.clear()
        for connection in open_connections:
            connection.on_change = None
            connection.close()
        if open_connections:
            await asyncio.wait([connection.gone for connection in open_connections], timeout=CLOSE_S_MAX)

    def _picked_or_failed(self, refused_by: object) -> ClientConnection | None:
        """None: somebody may still become ready."""
        if self._closed:
            raise MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "the channel is closed")
        connection, places = self.pick(refused_by), self._places.values()
        if connection is not None or any(not (place.connection or place.failure) for place in places):
            return connection
        if (connection := self.pick()) is not None:
            return connection
        if self._ready:
            raise _too_many(f"{self._ways.where} has as many calls under way as it takes")
        failure = next((place.failure for place in places), self._lookup_failure)
        if failure is not None:
            raise self._unreachable(why_not(failure, self._pace.attempt_s_max))
        return None

    def _unreachable(self, why: str) -> MeshError:
        text = f"cannot connect to {self._ways.where}: {why}"
        return MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", text)

    def _start(self) -> None:
        if not self._started and not self._closed:
            self._started = True
            # In a context of its own: connections outlive the call that was first, and its trace.
            Context().run(self._tasks.start, self._look_up(), "addresses")

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()

    async def _look_up(self) -> None:
        """Finds the addresses, again and again; one look-up at a time, however long the system takes."""
        loop, pace, failures = asyncio.get_running_loop(), self._pace, 0
        pause_s = pace.lookup_s_min
        while True:
            self._lookup_due.clear()
            late = loop.call_later(pace.attempt_s_max, self._lookup_failed, TimeoutError())
            try:
                news = self._take(await self._ways.addresses())
                failures, self._lookup_failure = 0, None
            except OSError as error:
                failures += 1
                self._lookup_failed(error)
            finally:
                late.cancel()
            if not self._ways.lookups:
                return
            if failures:
                await asyncio.sleep(pace.backoff_s(failures, self._chance()))
                continue
            # One address that always fails, beside others that serve, is no reason to ask all the time.
            pause_s = pace.lookup_s_min if news or not self._ready else min(2 * pause_s, pace.lookup_s)
            await asyncio.sleep(pause_s)
            try:
                async with asyncio.timeout(pace.lookup_s):
                    await self._lookup_due.wait()
            except TimeoutError:
                pause_s = pace.lookup_s_min

    def _lookup_failed(self, error: OSError) -> None:
        self._lookup_failure = error.with_traceback(None)  # which leads back here
        self._wake()

    def _take(self, found: list[Address]) -> bool:
        """Connects to new addresses; those that vanished finish their calls, once another one is ready. True
        when something changed."""
        wanted, places = set(found), self._places
        staying = any(place.connection for address, place in places.items() if address in wanted)
        vanished = [place for address, place in places.items() if address not in wanted]
        for place in vanished:
            if place.connection is None or staying:
                self._drop(place)
        added = [address for address in found if address not in places][: PLACES_MAX - len(places)]
        for address in added:
            place = places[address] = Place(address)
            place.task = self._tasks.start(self._keep(place), "connection")
        for connection in [connection for connection in self._leaving if not connection.calls]:
            connection.close()
        return bool(vanished or added)

    def _drop(self, place: Place) -> None:
        del self._places[place.address]
        assert place.task is not None, "started with its place"
        place.task.cancel()
        if place.connection is not None:
            self._leave(place, place.connection)

    async def _keep(self, place: Place) -> None:
        """Connects, and again when the connection is lost; for as long as the address is wanted."""
        loop, pace = asyncio.get_running_loop(), self._pace
        while True:
            try:
                async with asyncio.timeout(pace.attempt_s_max):
                    connection = await self._ways.open(place.address)
            except OSError as error:
                place.failures += 1
                place.failure = error.with_traceback(None)  # which leads back here
                self._lookup_due.set()
                self._wake()
                await asyncio.sleep(pace.backoff_s(place.failures, self._chance()))
                continue
            since_s = loop.time()
            self._arrive(place, connection)
            await place.left.wait()
            self._lookup_due.set()
            # One that leaves whenever it was reached is not hammered; any other is looked for at once.
            if loop.time() - since_s < pace.backoff_s_max:
                place.failures += 1
                await asyncio.sleep(pace.backoff_s(place.failures, self._chance()))
            else:
                place.failures = 0

    def _arrive(self, place: Place, connection: ClientConnection) -> None:
        place.connection, place.failure = connection, None
        place.left.clear()
        self._ready.append(connection)
        connection.on_change = lambda: self._on_change(place, connection)
        self._on_change(place, connection)  # it may have gone by now

    def _on_change(self, place: Place, connection: ClientConnection) -> None:
        if place.connection is connection and (connection.closed or connection.going_away):
            self._leave(place, connection)
        if connection.closed:
            self._leaving.discard(connection)
            connection.on_change = None
        self._wake()

    def _leave(self, place: Place, connection: ClientConnection) -> None:
        """It gets no more calls; the last one ends it."""
        place.connection = None
        place.left.set()
        self._ready.remove(connection)
        self._leaving.add(connection)
        if not connection.calls and not connection.going_away and not connection.closed:
            connection.close()


def _too_many(text: str) -> MeshError:
    return MeshError(Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", text)
