"""Equal calls inside this edge: one asks the cache, and the provider; the others wait for it right here.

Equal means the same tenant, namespace, variant and bytes of the request: such calls have the same cache key.
What is equal only to the cache, and calls of other edges, meet at its claims (flight.py).

Invariants: an answer is shared only if it came from the cache, or the cache has stored it; a leader that ends
without one frees the others at once; nobody waits for more than `leaders_max` leaders.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Gauge

from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb


@dataclass(frozen=True, slots=True)
class Share:
    """Who have their answers in common, of equal requests. `variant`: see variant.py."""

    tenant_id: str
    variant: str = ""


LocalKey: TypeAlias = tuple[Share, str, bytes]


@dataclass(frozen=True, slots=True)
class LocalRules:
    """`waiting_max`: at this edge; further calls ask the cache themselves."""

    waiting_max: int = 1_000
    leaders_max: int = 3


DEFAULT_RULES: Final = LocalRules()


@dataclass(frozen=True, slots=True)
class LocalLanding:
    """What came of a leader. Neither an entry nor `again`: everybody makes a call of their own."""

    entry: pb.Entry | None = None
    cache_key: str = ""
    again: bool = False  # it ended without an answer: somebody else may lead


ALONE: Final = LocalLanding()
AGAIN: Final = LocalLanding(again=True)


@dataclass(slots=True, eq=False)
class LocalFlight:
    """A call that others wait for. `stored_later`: its answer is on the way to the cache."""

    key: LocalKey
    waiting: list["asyncio.Future[LocalLanding]"] = field(default_factory=list)
    stored_later: bool = False


class LocalFlights:
    """See the module."""

    def __init__(self, rules: LocalRules = DEFAULT_RULES) -> None:
        self._rules = rules
        self._flights: dict[LocalKey, LocalFlight] = {}
        self._waiting_count = 0

    @property
    def leaders_max(self) -> int:
        """How many leaders one call waits for."""
        return self._rules.leaders_max

    @property
    def waiting_count(self) -> int:
        """Calls that wait."""
        return self._waiting_count

    def find(self, key: LocalKey) -> LocalFlight | None:
        """Who leads; None also when too many wait."""
        return self._flights.get(key) if self._waiting_count < self._rules.waiting_max else None

    def lead(self, key: LocalKey) -> LocalFlight | None:
        """Others may wait for this call from now on; None if they wait for another already."""
        if key in self._flights:
            return None
        flight = self._flights[key] = LocalFlight(key)
        return flight

    async def wait(self, flight: LocalFlight, wait_s: float) -> LocalLanding:
        """What came of it; ALONE after `wait_s`."""
        future: asyncio.Future[LocalLanding] = asyncio.get_running_loop().create_future()
        flight.waiting.append(future)
        self._waiting_count += 1
        try:
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            return ALONE
        finally:
            self._waiting_count -= 1

    def land(self, flight: LocalFlight | None, landing: LocalLanding) -> None:
        """Tells all who wait. Without effect when it has landed."""
        if flight is None or self._flights.get(flight.key) is not flight:
            return
        del self._flights[flight.key]
        for future in flight.waiting:
            if not future.done():
                future.set_result(landing)


def observe_local_flights(flights: LocalFlights, registry: CollectorRegistry) -> None:
    """How many calls wait for an equal one."""
    waiting = Gauge(
        "meshgate_edge_waiting", "Calls that wait for an equal call at this edge", registry=registry
    )
    waiting.set_function(lambda: flights.waiting_count)


def local_key(share: Share, namespace: str, request: chat_pb.ChatRequest) -> LocalKey:
    """Of a call that may share its answer."""
    said = request.SerializeToString(deterministic=True)
    return share, namespace, hashlib.sha256(said).digest()


def copied(entry: pb.Entry) -> pb.Entry:
    """For one of several calls: each may change its answer."""
    own = pb.Entry()
    own.CopyFrom(entry)
    return own
