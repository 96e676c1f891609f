"""What a router tells of its deployments, whom it probes, and what two of them share: over real gRPC."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meshgate_chassis.config.model import DeploymentLimits, GatewayConfig, RouterConfig, Secret
from meshgate_chassis.errors import MeshError
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.support.eventually import eventually
from tests.unit.router.served import served_router
from tests.unit.router.support import chat, deployment


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with demo_provider() as running:
        yield running


def asking(text: str, model: str = "gpt") -> pb.CreateChatRequest:
    return pb.CreateChatRequest(
        request_id="r", chat=chat(model, messages=[{"role": "user", "content": text}])
    )


def config_of(provider: DemoProvider, router: RouterConfig, **limits: Any) -> GatewayConfig:
    base = f"{provider.url}/v1"
    return GatewayConfig(
        deployments=(
            deployment("gpt", api_base=base, limits=DeploymentLimits(**limits)),
            deployment("any/*", api_base=base, upstream_model="*"),
            deployment("asleep", api_base=base, blocked=True),
        ),
        router=router,
    )


async def rows(client: RouterServiceClient) -> dict[str, pb.DeploymentState]:
    state = await client.get_state(pb.GetStateRequest())
    return {each.upstream_model: each for each in state.deployments}


async def test_state_begins_empty_and_follows_the_calls(provider: DemoProvider, tmp_path: Path) -> None:
    """Answers, failures, cooldowns and limits; of a pattern the models that were asked for."""
    config = config_of(
        provider, RouterConfig(num_retries=0, allowed_fails=0, cooldown_time_s=60.0), rpd=1_500
    )
    async with served_router(config, tmp_path) as client:
        fresh = await rows(client)
        assert {"gpt-upstream", "asleep-upstream"} == set(fresh)
        assert pb.DEPLOYMENT_HEALTH_HEALTHY == fresh["gpt-upstream"].health

        await client.create_chat(asking("Hello"))
        await client.create_chat(asking("Hello", "any/thing"))
        with pytest.raises(MeshError):
            await client.create_chat(asking("Hello demo:fail=503"))
        after = await rows(client)

    gpt = after["gpt-upstream"]
    assert {"gpt-upstream", "thing", "asleep-upstream"} == set(after)
    assert (pb.DEPLOYMENT_HEALTH_COOLING, 1, 1, 1, "PROVIDER_UNAVAILABLE", 503, 0) == (
        gpt.health,
        gpt.answers,
        gpt.failures,
        gpt.cooldowns,
        gpt.last_failure,
        gpt.last_failure_status,
        gpt.in_flight,
    )
    assert 50 < gpt.cooling_seconds <= 60
    assert gpt.token_seconds > 0
    assert [("rpd", 2, 1_500)] == [(each.name, each.used, each.limit) for each in gpt.limits]
    assert f"{provider.url}/v1" == gpt.api_base


async def test_probes_call_what_can_be_called(provider: DemoProvider, tmp_path: Path) -> None:
    """And say why the rest was not; a name that nobody answers to is an error."""
    config = config_of(provider, RouterConfig())
    async with served_router(config, tmp_path) as client:
        everything = await client.probe_deployments(pb.ProbeDeploymentsRequest())
        told = {each.deployment_id: (each.probed, each.healthy, each.message) for each in everything.results}
        assert (True, True, "") == told["id-gpt"]
        assert (False, False, "it is blocked") == told["id-asleep"]
        assert (False, False) == told["id-any/*"][:2]

        one = await client.probe_deployments(pb.ProbeDeploymentsRequest(model="any/thing"))
        assert [(True, True)] == [(each.probed, each.healthy) for each in one.results]
        with pytest.raises(MeshError) as caught:
            await client.probe_deployments(pb.ProbeDeploymentsRequest(model="nobody"))
        assert "MODEL_NOT_FOUND" == caught.value.reason


async def test_a_probe_of_what_is_down_tells_the_reason(tmp_path: Path) -> None:
    """In the words of the errors."""
    config = GatewayConfig(deployments=(deployment("gpt", api_base="http://127.0.0.1:9/v1"),))
    async with served_router(config, tmp_path) as client:
        (result,) = (await client.probe_deployments(pb.ProbeDeploymentsRequest())).results

    assert (True, False, "PROVIDER_UNAVAILABLE") == (result.probed, result.healthy, result.reason)
    assert result.message


async def test_two_routers_are_one(provider: DemoProvider, tmp_path: Path, redis_url: str) -> None:
    """With a Redis they keep one daily quota exactly, and one cooldown."""
    router = RouterConfig(num_retries=0, allowed_fails=0, cooldown_time_s=60.0, redis_url=Secret(redis_url))
    config = config_of(provider, router, rpd=20)
    async with (
        served_router(config, tmp_path, "one") as one,
        served_router(config, tmp_path, "two") as two,
    ):
        calls = [(one, two)[number % 2].create_chat(asking(f"Hello {number}")) for number in range(40)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        reasons = [each.reason for each in answers if isinstance(each, MeshError)]
        assert ["DEPLOYMENT_LIMITS_REACHED"] * 20 == reasons
        assert (await one.get_state(pb.GetStateRequest())).shared

        with pytest.raises(MeshError):
            await one.create_chat(asking("Hello demo:fail=503", "any/thing"))
        await two.create_chat(asking("Hello", "any/other"))

        async def cooling() -> bool:
            with pytest.raises(MeshError) as caught:
                await two.create_chat(asking("Hello demo:fail=400", "any/thing"))
            return caught.value.reason == "DEPLOYMENTS_COOLING_DOWN"

        await eventually(cooling, "the other router leaves it alone as well")


async def test_a_redis_that_is_not_there_stops_nobody(provider: DemoProvider, tmp_path: Path) -> None:
    """The router starts and answers, with limits of its own."""
    router = RouterConfig(num_retries=0, redis_url=Secret("redis://127.0.0.1:9"))
    async with served_router(config_of(provider, router, rpd=2), tmp_path) as client:
        for _ in range(2):
            await client.create_chat(asking("Hello"))
        with pytest.raises(MeshError) as caught:
            await client.create_chat(asking("Hello"))
        assert "DEPLOYMENT_LIMITS_REACHED" == caught.value.reason
        assert not (await client.get_state(pb.GetStateRequest())).shared


async def test_nothing_stays_under_way(provider: DemoProvider, tmp_path: Path) -> None:
    """Streams read to their end, streams that are left, answers, failures: each is told once."""
    async with served_router(config_of(provider, RouterConfig(num_retries=0), rpd=99), tmp_path) as client:

        async def stream(text: str, *, leave: bool) -> None:
            asked = asking(text)
            request = pb.StreamChatRequest(request_id="r", chat=asked.chat)
            async with contextlib.aclosing(client.stream_chat(request)) as events:
                async for event in events:
                    if leave and event.WhichOneof("event") == "delta":
                        break

        await stream("Hello", leave=False)
        await stream("Hello demo:tokens=5000 demo:delay=0.01", leave=True)
        await client.create_chat(asking("Hello"))
        with pytest.raises(MeshError):
            await client.create_chat(asking("Hello demo:fail=500"))

        async def idle() -> bool:
            return (await rows(client))["gpt-upstream"].in_flight == 0

        await eventually(idle, "nothing is under way")
        state = (await rows(client))["gpt-upstream"]
        assert (3, 1, 4) == (state.answers, state.failures, state.limits[0].used)
        assert state.first_token_seconds > 0
