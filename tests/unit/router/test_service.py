"""The router as a service: its contract over real gRPC, with the demo provider behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import GatewayConfig, RouterConfig
from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import Identity, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient
from meshgate_router.app import router_service
from meshgate_router.settings import RouterSettings
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.support.eventually import eventually
from tests.unit.router.support import chat, deployment

MESH_SECRET = "a secret of the mesh, for tests"


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with demo_provider() as running:
        yield running


@pytest.fixture
async def client(
    provider: DemoProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RouterServiceClient]:
    """A client of a router process's composition root."""
    monkeypatch.setenv("MESHGATE_MESH_SECRET", MESH_SECRET)
    target = f"unix:{tmp_path}/router"
    base = f"{provider.url}/v1"
    config = GatewayConfig(
        deployments=(deployment("gpt", api_base=base), deployment("claude", "anthropic", api_base=base)),
        router=RouterConfig(num_retries=0, fallbacks={"gpt": ("claude",)}),
    )
    settings = RouterSettings(listen=target, drain_grace_s=1.0)
    registry = CollectorRegistry()
    runtime = Runtime(
        service="router",
        config=config,
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity("router", MESH_SECRET.encode()),
    )
    async with router_service(settings, runtime):
        identity = Identity("edge", MESH_SECRET.encode())
        channel = connect(target, callee="router", identity=identity, telemetry=Telemetry(None))
        with deadline_scope(20.0):
            yield RouterServiceClient(channel)
        await channel.close()


def asking(text: str, **members: Any) -> dict[str, Any]:
    return {"chat": chat("gpt", messages=[{"role": "user", "content": text}], **members)}


async def test_whole_answers(client: RouterServiceClient, provider: DemoProvider) -> None:
    """The answer, and who gave it."""
    answer = await client.create_chat(pb.CreateChatRequest(request_id="r", **asking("Hello")))
    served_by = answer.served_by

    assert answer.response.choices[0].message.text
    assert answer.response.usage.completion_tokens
    assert ("id-gpt", "gpt", "openai", "gpt-upstream", f"{provider.url}/v1", 0, 0) == (
        served_by.deployment_id,
        served_by.model_group,
        served_by.provider,
        served_by.upstream_model,
        served_by.api_base,
        served_by.attempted_retries,
        served_by.attempted_fallbacks,
    )
    assert "application/json" == served_by.provider_headers["content-type"]


async def test_streams(client: RouterServiceClient) -> None:
    """Started, Deltas, Finished with the usage, in this order; here from the fallback."""
    request = pb.StreamChatRequest(request_id="r", **asking("Hello demo:fail=503@gpt-upstream"))
    events = [event async for event in client.stream_chat(request)]
    kinds = [event.WhichOneof("event") for event in events]

    assert ["started", *["delta"] * (len(events) - 2), "finished"] == kinds
    assert len(events) > 2
    assert ("claude", 1) == (
        events[0].started.served_by.model_group,
        events[0].started.served_by.attempted_fallbacks,
    )
    assert "stop" == events[-1].finished.finish_reason
    assert events[-1].finished.usage.completion_tokens


async def test_what_is_there_at_once_comes_in_one_message(client: RouterServiceClient) -> None:
    """For who reads it so: Started has the first chunks, and the last chunks have the end."""
    apart, joined = [await streamed(client, "Hello", joined=how) for how in (False, True)]

    assert ["started"] == [event.WhichOneof("event") for event in joined]
    assert "id-gpt" == joined[0].started.served_by.deployment_id
    assert apart[-1].finished == joined[0].started.finished
    assert said(apart) == said(joined)


async def test_nothing_waits_to_come_in_one_message(client: RouterServiceClient) -> None:
    """A slow provider's chunks come one by one."""
    apart, joined = [await streamed(client, "Hello demo:delay=0.01", joined=how) for how in (False, True)]

    assert joined[0].started.chunks
    assert not joined[0].started.HasField("finished")
    assert len(joined) > len(joined[0].started.chunks) + 2
    assert said(apart) == said(joined)


async def streamed(client: RouterServiceClient, text: str, *, joined: bool) -> list[pb.StreamChatResponse]:
    request = pb.StreamChatRequest(joined=joined, **asking(text))
    return [event async for event in client.stream_chat(request)]


def said(events: list[pb.StreamChatResponse]) -> str:
    parts = (part for event in events for part in (event.started, event.delta))
    choices = (choice for part in parts for chunk in part.chunks for choice in chunk.choices)
    return "".join(choice.delta.content for choice in choices)


async def test_errors_keep_their_metadata(client: RouterServiceClient) -> None:
    """Across the wire: reason, fields, and what it cost."""
    options = pb.RouteOptions(fallbacks=["claude"])
    request = asking("Hello demo:fail=500@gpt-upstream", n=2)
    with pytest.raises(MeshError) as caught:
        await client.create_chat(pb.CreateChatRequest(request_id="r", options=options, **request))
    error = caught.value

    assert (Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "router.meshgate") == (
        error.code,
        error.reason,
        error.domain,
    )
    assert ("1", "1", "500") == (
        error.metadata["upstream_calls"],
        error.metadata["attempted_fallbacks"],
        error.metadata["http_status"],
    )
    assert "UNSUPPORTED_PARAMETER" in error.metadata["attempts"]


async def test_refusals_name_the_field(client: RouterServiceClient) -> None:
    """What Anthropic does not know is refused before it costs anything."""
    request = pb.CreateChatRequest(request_id="r", chat=chat("claude", n=2))
    with pytest.raises(MeshError) as caught:
        await client.create_chat(request)
    error = caught.value

    assert (Code.INVALID_ARGUMENT, "UNSUPPORTED_PARAMETER", ["n"], "0") == (
        error.code,
        error.reason,
        list(error.fields),
        error.metadata["upstream_calls"],
    )


@pytest.mark.parametrize(
    ("request_pb", "field"),
    [
        (pb.CreateChatRequest(request_id="r"), "chat.model"),
        (pb.CreateChatRequest(chat=chat(), options=pb.RouteOptions(num_retries=11)), "num_retries"),
        (pb.CreateChatRequest(chat=chat(), options=pb.RouteOptions(num_retries=-1)), "num_retries"),
        (pb.CreateChatRequest(chat=chat(), options=pb.RouteOptions(fallbacks=["x"] * 11)), "fallbacks"),
        (pb.CreateChatRequest(chat=chat(), options=pb.RouteOptions(timeout={})), "timeout"),
    ],
)
async def test_limits_of_the_contract(client: RouterServiceClient, request_pb: Any, field: str) -> None:
    """INVALID_ARGUMENT naming the field."""
    with pytest.raises(MeshError) as caught:
        await client.create_chat(request_pb)

    assert ("FIELD_INVALID", [field]) == (caught.value.reason, list(caught.value.fields))


async def test_models(client: RouterServiceClient) -> None:
    """The configuration's names, in its order."""
    listed = await client.list_models(pb.ListModelsRequest())

    assert [("gpt", ["openai"], "chat"), ("claude", ["anthropic"], "chat")] == [
        (model.id, list(model.providers), model.mode) for model in listed.models
    ]


async def disconnected(provider: DemoProvider) -> float | None:
    """When the provider saw the last caller leave, on the machine's monotonic clock."""
    async with aiohttp.ClientSession() as session, session.get(f"{provider.url}/demo/requests") as answer:
        records = await answer.json()
    return records["requests"][-1]["disconnected_s"] if records["requests"] else None


async def test_a_caller_that_leaves_ends_the_provider_s_call(
    client: RouterServiceClient, provider: DemoProvider, record_property: Any
) -> None:
    """Closing the gRPC stream closes the provider's connection."""
    request = pb.StreamChatRequest(request_id="r", **asking("Hi demo:tokens=10000 demo:delay=0.01"))
    async with contextlib.aclosing(client.stream_chat(request)) as events:
        async for event in events:
            if event.WhichOneof("event") == "delta":
                break
    start_s = asyncio.get_running_loop().time()
    gone_s = await eventually(lambda: disconnected(provider), "the provider sees the end")

    record_property("cancel_ms", round((gone_s - start_s) * 1_000, 2))
    print(f"left a stream: {(gone_s - start_s) * 1_000:.2f} ms")
