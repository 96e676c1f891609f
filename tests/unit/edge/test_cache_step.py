"""The pipeline's cache step, when the cache does not answer."""

from collections.abc import Mapping
from typing import Any

from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache_step import CacheParts, CacheStep
from meshgate_edge.call import CallInfo, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import DEFAULT_RULES, Circuit
from meshgate_edge.clients import HopLimits
from meshgate_edge.flight import Flights
from meshgate_edge.store_batch import StoreBatch
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod
from tests.support.clock import ManualClock


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


async def test_a_cache_that_hangs_is_left_out() -> None:
    """Its deadline is waited for a few times, not on every call; after a pause it is tried again."""
    cache, clock = SilentCache(), ManualClock()
    client, config, tasks = CacheServiceClient(cache), CacheConfig(enabled=True), TaskOwner("stores", 1)
    parts = CacheParts(
        client,
        Circuit("cache", clock),
        Flights(client, config, tasks, clock),
        StoreBatch(client, tasks, timeout_s=1.0, waiting_max=10),
    )
    step = CacheStep(parts, config, HopLimits().lookup_s)
    request = chat.ChatRequest(model="m")
    call = ChatCall("id", Principal("open"), request)
    run = CallRun(call, CallInfo("id", "m"), 1, 0, 0.0, ledger_pb.Account())
    for _ in range(20):
        assert None is await step.look_up(run, request)
    assert (DEFAULT_RULES.failures_max, "") == (cache.asked, run.cache_key)

    cache.silent = False
    clock.advance(DEFAULT_RULES.pause_s)
    await step.look_up(run, request)
    assert "key" == run.cache_key
