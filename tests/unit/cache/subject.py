"""A cache service under test: started by its composition root, spoken to over gRPC, at a time of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from meshgate_cache.app import cache_service
from meshgate_cache.settings import CacheSettings
from meshgate_chassis.config.model import CacheConfig, GatewayConfig, Secret
from meshgate_chassis.rpc import Identity
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.support.clock import ManualClock

SECRET = b"a secret of the mesh, for tests"
MEMORY = CacheConfig(enabled=True)
TIMEOUT_S = 10.0


@dataclass
class Subject:
    """A running cache, its client and its time."""

    client: CacheServiceClient
    clock: ManualClock
    registry: CollectorRegistry

    async def look_up(
        self, chat: chat_pb.ChatRequest, tenant: str = "a", **options: object
    ) -> pb.LookupEntryResponse:
        request = pb.LookupEntryRequest(tenant_id=tenant, chat=chat, **options)
        return await self.client.lookup_entry(request, timeout_s=TIMEOUT_S)

    async def store(
        self,
        chat: chat_pb.ChatRequest,
        response: chat_pb.ChatResponse,
        tenant: str = "a",
        namespace: str = "",
        **options: object,
    ) -> pb.StoreEntryResponse:
        looked_up = await self.look_up(chat, tenant, namespace=namespace, key_only=True)
        entry = pb.Entry(response=response, deployment_id="d1", cost_usd_nanos=1_500)
        request = pb.StoreEntryRequest(
            tenant_id=tenant, cache_key=looked_up.cache_key, namespace=namespace, entry=entry, **options
        )
        return await self.client.store_entry(request, timeout_s=TIMEOUT_S)

    async def delete(self, **options: object) -> int:
        request = pb.DeleteEntriesRequest(**options)
        return (await self.client.delete_entries(request, timeout_s=TIMEOUT_S)).deleted_count

    async def status(self) -> pb.GetStatusResponse:
        return await self.client.get_status(pb.GetStatusRequest(), timeout_s=TIMEOUT_S)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


Start = Callable[..., Awaitable[Subject]]


@pytest.fixture
async def start_cache(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Start]:
    """Starts caches; more than one may share a Redis."""
    async with AsyncExitStack() as stack:

        async def start(config: CacheConfig, **settings: object) -> Subject:
            folder: Path = tmp_path_factory.mktemp("c")
            registry, clock = CollectorRegistry(), ManualClock()
            runtime = Runtime(
                service="cache",
                config=GatewayConfig(cache=config),
                clock=clock,
                telemetry=Telemetry(None),
                registry=registry,
                rpc_metrics=RpcMetrics(registry),
                identity=Identity("cache", SECRET),
            )
            target = f"unix:{folder}/s"
            chosen = CacheSettings(
                listen=target, MESHGATE_MESH_SECRET=SECRET.decode(), MESHGATE_DRAIN_GRACE_S=0.2, **settings
            )
            await stack.enter_async_context(cache_service(chosen, runtime))
            edge = Runtime(
                service="edge",
                config=runtime.config,
                clock=clock,
                telemetry=runtime.telemetry,
                registry=registry,
                rpc_metrics=runtime.rpc_metrics,
                identity=Identity("edge", SECRET),
            )
            channel = edge.channel("cache", target)
            stack.push_async_callback(channel.close)
            return Subject(CacheServiceClient(channel), clock, registry)

        yield start


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest, start_cache: Start) -> Subject:
    """The same service on both stores."""
    if request.param == "memory":
        return await start_cache(MEMORY)
    url = request.getfixturevalue("redis_url")
    return await start_cache(redis_config(url), lookup_timeout_s=5.0, store_timeout_s=5.0)


def redis_config(url: str) -> CacheConfig:
    return CacheConfig(enabled=True, type="redis", redis_url=Secret(url), namespace="litellm:cache")


def chat(text: str = "What is the capital of France?", **options: object) -> chat_pb.ChatRequest:
    return chat_pb.ChatRequest(model="m", messages=[chat_pb.Message(role="user", text=text)], **options)


def answer(text: str = "Paris.", finish_reason: str = "stop") -> chat_pb.ChatResponse:
    message = chat_pb.Message(role="assistant", text=text)
    choice = chat_pb.Choice(index=0, message=message, finish_reason=finish_reason)
    usage = chat_pb.Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9)
    return chat_pb.ChatResponse(id="chatcmpl-1", created=1, model="m-1", choices=[choice], usage=usage)
