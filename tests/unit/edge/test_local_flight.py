"""Equal calls at one edge, as the pipeline's cache step lets them wait for each other."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.local_flight import (
    AGAIN,
    ALONE,
    LocalFlights,
    LocalLanding,
    LocalRules,
    Share,
    local_key,
)
from meshgate_edge.cache.step import CacheStep
from meshgate_edge.call_run import CallRun
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.rpc import Request, Response, UnaryCall, UnaryMethod
from tests.support.clock import ManualClock
from tests.unit.edge.test_cache_step import SilentCache, cache_step, run_of

RESPONSE = chat.ChatResponse(id="chatcmpl-1")


class Cache(SilentCache):
    """Has nothing; keeps what it is given, if it `stores`. `asked`: lookups."""

    def __init__(self, *, stores: bool = True, answers: bool = True) -> None:
        super().__init__()
        self.stores, self.answers = stores, answers

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            await asyncio.sleep(0)
            if isinstance(request, pb.StoreEntriesRequest):
                results = [pb.StoreEntryResponse(stored=self.stores)] * len(request.stores)
                return pb.StoreEntriesResponse(results=results)
            if isinstance(request, pb.EndFlightRequest):
                return pb.EndFlightResponse()
            if not self.answers:
                self.asked += 1
                raise MeshError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "no")
            if isinstance(request, pb.LookupEntriesRequest):
                found = [self._missed() for _ in request.lookups]
                return pb.LookupEntriesResponse(
                    results=[pb.LookupEntryResult(response=each) for each in found]
                )
            return self._missed()

        return call

    def _missed(self) -> pb.LookupEntryResponse:
        self.asked += 1
        flight = pb.Flight(role=pb.FLIGHT_ROLE_LEADER, token=f"token-{self.asked}")
        return pb.LookupEntryResponse(cache_key="key", flight=flight)


async def looked_up(step: CacheStep, run: CallRun) -> pb.Entry | None:
    """A call that ends after its lookup."""
    with step.flight(run):
        return await step.look_up(run, run.call.request)


async def with_followers(step: CacheStep, runs: list[CallRun]) -> tuple[CallRun, list[asyncio.Task[Any]]]:
    """A leader that has asked the cache, and those who wait for it."""
    leader = run_of("team:a", "equal")
    assert await step.look_up(leader, leader.call.request) is None
    tasks = [asyncio.ensure_future(looked_up(step, run)) for run in runs]
    for _ in range(5):
        await asyncio.sleep(0)
    return leader, tasks


async def test_followers_get_what_the_cache_has_stored() -> None:
    """Each a copy of its own, under the leader's key; nobody else asks the cache."""
    cache, tasks = Cache(), TaskOwner("tasks", 100)
    step = cache_step(cache, ManualClock(), tasks)
    runs = [run_of("team:a", "equal") for _ in range(31)]
    leader, followers = await with_followers(step, runs)
    step.store(leader, RESPONSE)
    entries = await asyncio.gather(*followers)

    assert (1, {"key"}) == (cache.asked, {run.cache_key for run in runs})
    assert {"chatcmpl-1"} == {entry.response.id for entry in entries}
    entries[0].response.id = "mine"
    assert ("chatcmpl-1", "chatcmpl-1") == (entries[1].response.id, RESPONSE.id)


async def test_an_answer_that_is_not_stored_is_nobody_elses() -> None:
    """All go on by themselves at once, and do not ask the cache first."""
    cache, tasks = Cache(stores=False), TaskOwner("tasks", 100)
    step = cache_step(cache, ManualClock(), tasks)
    leader, followers = await with_followers(step, [run_of("team:a", "equal") for _ in range(5)])
    step.store(leader, RESPONSE)

    assert [None] * 5 == await asyncio.gather(*followers)
    assert 1 == cache.asked


async def test_a_cache_that_does_not_answer_is_asked_once() -> None:
    """A miss for all who asked at the same time."""
    cache, tasks = Cache(answers=False), TaskOwner("tasks", 100)
    step = cache_step(cache, ManualClock(), tasks)
    found = await asyncio.gather(*(looked_up(step, run_of("team:a", "equal")) for _ in range(20)))

    assert ([None] * 20, 1) == (found, cache.asked)


async def test_a_leader_that_ends_is_followed_by_one() -> None:
    """The next one leads; when it ends, another; nobody waits for more than three."""
    cache, tasks = Cache(), TaskOwner("tasks", 100)
    step = cache_step(cache, ManualClock(), tasks)
    leader = run_of("team:a", "equal")
    with step.flight(leader):
        assert await step.look_up(leader, leader.call.request) is None
        followers = [asyncio.ensure_future(looked_up(step, run_of("team:a", "equal"))) for _ in range(6)]
        for _ in range(5):
            await asyncio.sleep(0)
    found = await asyncio.gather(*followers)

    assert [None] * 6 == found
    assert 7 == cache.asked  # one after the other, then those who have waited enough


@pytest.mark.parametrize("other", [("team:b", "equal"), ("team:a", "another")])
async def test_only_equal_calls_of_a_tenant_wait(other: tuple[str, str]) -> None:
    """Everybody else asks the cache."""
    cache, tasks = Cache(), TaskOwner("tasks", 100)
    step = cache_step(cache, ManualClock(), tasks)
    leader = run_of("team:a", "equal")
    await step.look_up(leader, leader.call.request)
    await looked_up(step, run_of(*other))

    assert 2 == cache.asked


async def test_waiting_is_bounded() -> None:
    """In number and in time; who is cancelled does not count any more."""
    flights = LocalFlights(LocalRules(waiting_max=2))
    key = local_key(Share("a"), "", chat.ChatRequest(model="m"))
    flight = flights.lead(key)
    assert flight is not None
    assert flights.lead(key) is None
    waiting = [asyncio.ensure_future(flights.wait(flight, 60.0)) for _ in range(2)]
    await asyncio.sleep(0)

    assert (None, 2) == (flights.find(key), flights.waiting_count)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    assert (flight, 1) == (flights.find(key), flights.waiting_count)
    assert ALONE == await flights.wait(flight, 0.0)
    flights.land(flight, AGAIN)
    flights.land(flight, LocalLanding(pb.Entry()))
    assert (AGAIN, None, 0) == (await waiting[1], flights.find(key), flights.waiting_count)
