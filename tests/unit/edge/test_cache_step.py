"""The pipeline's cache step, when the cache does not answer."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from meshgate_chassis.config.model import CacheConfig, CompressionConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.early_lookup import TenantMemory
from meshgate_edge.cache.flight import Flights
from meshgate_edge.cache.local_flight import LocalFlights
from meshgate_edge.cache.step import CacheParts, CacheStep
from meshgate_edge.cache.store_batch import StoreBatch
from meshgate_edge.cache.variant import Variants
from meshgate_edge.call import CallInfo, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import DEFAULT_RULES, Circuit
from meshgate_edge.clients import HopLimits
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod
from tests.support.clock import ManualClock
from tests.support.eventually import eventually


class SilentCache:
    """Implements meshgate_protos.rpc.Channel; answers only when it is not silent."""

    def __init__(self) -> None:
        self.asked = 0
        self.silent = True

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            self.asked += 1
            if self.silent:
                raise MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "no answer")
            return pb.LookupEntryResponse(cache_key="key")

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        raise NotImplementedError


class ClaimedCache(SilentCache):
    """Has nothing, and lets every call lead. `tenants`: of lookups; `ended`: tokens of claims given back."""

    def __init__(self) -> None:
        super().__init__()
        self.tenants: list[str] = []
        self.ended: list[str] = []

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            if isinstance(request, pb.EndFlightRequest):
                shared = " unshared" if request.unshared else ""
                self.ended.append(f"{request.claim.tenant_id} {request.claim.token}{shared}")
                return pb.EndFlightResponse()
            self.tenants.append(request.tenant_id)
            token = f"token-{len(self.tenants)}"
            return pb.LookupEntryResponse(
                cache_key="key", flight=pb.Flight(role=pb.FLIGHT_ROLE_LEADER, token=token)
            )

        return call


class NoMeanings:
    """Implements cache_step.Meanings: the cache has all vectors itself."""

    async def look_up(self, run: CallRun, answer: pb.LookupEntryResponse) -> pb.Entry | None:
        raise AssertionError("no vector is wanted")

    def store(self, run: CallRun, request: pb.StoreEntryRequest) -> None:
        return None


def cache_step(cache: SilentCache, clock: ManualClock, tasks: TaskOwner) -> CacheStep:
    client, config = CacheServiceClient(cache), CacheConfig(enabled=True)
    parts = CacheParts(
        client,
        Circuit("cache", clock),
        Flights(client, config, tasks, clock),
        StoreBatch(client, tasks, timeout_s=1.0, waiting_max=10),
        tasks,
        TenantMemory(),
        NoMeanings(),
        LocalFlights(),
        Variants(CompressionConfig(), tag_filtering=False),
    )
    return CacheStep(parts, config, HopLimits().lookup_s)


def run_of(tenant_id: str = "", text: str = "") -> CallRun:
    """Of a text that nobody else asks, unless one is given."""
    request = chat.ChatRequest(model="m", messages=[chat.Message(role="user", text=text or uuid4().hex)])
    call = ChatCall("id", Principal("open"), request)
    return CallRun(call, CallInfo("id", "m"), 1, 0, 0.0, ledger_pb.Account(tenant_id=tenant_id))


async def answered(step: CacheStep, run: CallRun, chat_request: chat.ChatRequest) -> bool:
    """Whether the lookup that was begun early was used."""
    with step.early(run) as early:
        for _ in range(2):  # the reservation: the lookup leaves a turn behind it
            await asyncio.sleep(0)
        run.held = True
        await step.look_up(run, chat_request, early)
        return early is not None and early.used


async def test_a_known_caller_is_looked_up_beside_the_reservation() -> None:
    """Once: the second call's lookup is under way before it was granted, and is the one that counts."""
    cache, tasks = ClaimedCache(), TaskOwner("lookups", 10)
    step = cache_step(cache, ManualClock(), tasks)
    first, second = run_of("team:a"), run_of("team:a")

    assert not await answered(step, first, first.call.request)
    assert await answered(step, second, second.call.request)
    assert ["team:a", "team:a"] == cache.tenants
    assert ("key", "token-2", []) == (second.cache_key, second.flight_token, cache.ended)


async def test_an_early_lookup_is_used_for_its_tenant_and_model_only() -> None:
    """Another tenant, or an alias of the key: it is asked again, and the claim of the first goes back."""
    cache, tasks = ClaimedCache(), TaskOwner("lookups", 10)
    step = cache_step(cache, ManualClock(), tasks)
    first, moved, renamed = run_of("team:a"), run_of("team:b"), run_of("team:b")

    assert not await answered(step, first, first.call.request)
    assert not await answered(step, moved, moved.call.request)
    assert not await answered(step, renamed, chat.ChatRequest(model="other"))
    await tasks.drain(5.0)
    assert ["team:a", "team:a", "team:b", "team:b", "team:b"] == cache.tenants
    assert ["team:a token-2", "team:b token-4"] == sorted(cache.ended)


async def test_an_early_lookup_is_used_for_its_variant_only() -> None:
    """The key's prompts are compressed since its last call: it is asked again, for other answers."""
    cache, tasks = ClaimedCache(), TaskOwner("lookups", 10)
    step = cache_step(cache, ManualClock(), tasks)
    first, changed, after = run_of("team:a"), run_of("team:a"), run_of("team:a")
    for run in (changed, after):
        run.account.metadata_json = '{"compression": {"min_tokens": 0}}'

    assert [False, False, True] == [
        await answered(step, run, run.call.request) for run in (first, changed, after)
    ]
    await tasks.drain(5.0)
    assert ["team:a token-2"] == cache.ended


async def test_who_is_refused_is_not_looked_up_again() -> None:
    """What the cache said of a denied call is dropped with its claim; the next one waits for its grant."""
    cache, tasks = ClaimedCache(), TaskOwner("lookups", 10)
    step = cache_step(cache, ManualClock(), tasks)
    first, denied = run_of("team:a"), run_of()
    await answered(step, first, first.call.request)
    with pytest.raises(MeshError), step.early(denied):
        raise MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", "no")
    with step.early(run_of()) as early:
        again = early
    await tasks.drain(5.0)

    assert None is again
    assert ["team:a", "team:a"] == cache.tenants
    assert ("", ["team:a token-2"]) == (denied.cache_key, cache.ended)


async def test_an_answer_of_a_fallback_frees_all_who_wait() -> None:
    """Here and elsewhere, at once: each asks for one of its own, instead of one after the other."""
    cache, tasks = ClaimedCache(), TaskOwner("lookups", 10)
    step = cache_step(cache, ManualClock(), tasks)
    leader, follower = run_of("team:a", "equal"), run_of("team:a", "equal")
    with step.flight(leader):
        await step.look_up(leader, leader.call.request)
        waiting = asyncio.ensure_future(step.look_up(follower, follower.call.request))
        await asyncio.sleep(0)
        leader.info.attempted_fallbacks = 1
        step.store(leader, chat.ChatResponse(choices=[chat.Choice(finish_reason="stop")]))
        assert None is await waiting
    await tasks.drain(5.0)

    assert (["team:a"], ["team:a token-1 unshared"]) == (cache.tenants, cache.ended)


class LateCache(SilentCache):
    """Tells keys; lookups are late. `stored`: by key."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, str] = {}

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            if isinstance(request, pb.StoreEntriesRequest):
                for each in request.stores:
                    self.stored[each.cache_key] = each.entry.response.choices[0].message.text
                return pb.StoreEntriesResponse(results=[pb.StoreEntryResponse(stored=True)])
            if not request.key_only:
                raise MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "late")
            return pb.LookupEntryResponse(cache_key=f"{request.tenant_id} {request.chat.model}")

        return call


@pytest.mark.parametrize(
    ("fallbacks", "stored"), [(0, {"team:a large": "Paris."}), (1, {})], ids=["model", "fallback"]
)
async def test_an_answer_is_stored_though_its_lookup_was_late(fallbacks: int, stored: dict[str, str]) -> None:
    """Under the model that answered, whatever the key calls it; a fallback's is nobody's."""
    cache, tasks = LateCache(), TaskOwner("lookups", 10)
    step = cache_step(cache, ManualClock(), tasks)
    run = run_of("team:a")
    run.model = "large"
    with step.flight(run):
        assert None is await step.look_up(run, chat.ChatRequest(model="large"))
        run.info.attempted_fallbacks = fallbacks
        response = chat.ChatResponse(choices=[chat.Choice(message=chat.Message(text="Paris."))])
        step.store(run, response)
        response.choices[0].message.text = "changed later"
    await eventually(lambda: stored == cache.stored, "what may be stored is stored")
    await tasks.drain(5.0)

    assert stored == cache.stored


async def test_a_cache_that_hangs_is_left_out() -> None:
    """Its deadline is waited for a few times, not on every call; after a pause it is tried again."""
    cache, clock = SilentCache(), ManualClock()
    step = cache_step(cache, clock, TaskOwner("stores", 1))
    run = run_of()
    request = run.call.request
    for _ in range(20):
        assert None is await step.look_up(run, request)
    assert (DEFAULT_RULES.failures_max, "") == (cache.asked, run.cache_key)

    cache.silent = False
    clock.advance(DEFAULT_RULES.pause_s)
    await step.look_up(run, request)
    assert "key" == run.cache_key
