"""Races of two calls over real sockets: who wins, what becomes of the loser, and what is told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from meshgate_chassis.config.model import HedgingConfig, RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_router.attempt import Served
from meshgate_router.convert import served_by
from meshgate_router.hedge_rate import SAMPLES_MIN
from meshgate_router.legs import LegReason
from meshgate_router.stream import Started
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.support.eventually import eventually
from tests.unit.router.support import RouterUnderTest, StreamResult, chat, deployment, router

HEDGING = HedgingConfig(enabled=True, extra_calls_max=0.5)
CONFIG = RouterConfig(num_retries=0, hedging=HEDGING)


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with demo_provider() as running:
        yield running


@contextlib.asynccontextmanager
async def group(
    provider: DemoProvider, config: RouterConfig = CONFIG, *, alone: bool = False, warm: bool = True
) -> AsyncIterator[RouterUnderTest]:
    """A group that asks `a` first and has `b` besides. `warm`: its usual times are known."""
    base = f"{provider.url}/v1"
    a = deployment("gpt", id="a", upstream_model="a", api_base=base, weight=1.0)
    b = deployment("gpt", id="b", upstream_model="b", api_base=base)
    async with router([a] if alone else [a, b], config=config) as subject:
        if warm:
            for _ in range(SAMPLES_MIN):
                await subject.stream(asking())
                if config.hedging.whole_answers:
                    await subject.create(asking())
            async with aiohttp.ClientSession() as session:
                async with session.delete(f"{provider.url}/demo/requests") as answer:
                    assert 300 > answer.status
        yield subject


def asking(directives: str = "") -> Any:
    return chat("gpt", messages=[{"role": "user", "content": f"Tell me a story {directives}"}])


async def requests(provider: DemoProvider) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{provider.url}/demo/requests") as answer:
        return list((await answer.json())["requests"])


def served_of(result: StreamResult) -> Served[Any]:
    started = result.events[0]
    assert isinstance(started, Started)
    return started.served


async def test_a_rival_answers_for_a_call_that_hangs(provider: DemoProvider, record_property: Any) -> None:
    """The client sees one whole stream; the loser's connection is closed; both calls are told."""
    async with group(provider) as subject:
        result = await subject.stream(asking("demo:fail=hang_before_first_chunk@a"))
        served = served_of(result)
        told = served_by(served, {}, "")

        async def outcomes() -> bool:
            return ["disconnected", "complete"] == [each["outcome"] for each in await requests(provider)]

        await eventually(outcomes, "the loser is cut")
    loser, winner = await requests(provider)
    cancelled_s = loser["disconnected_s"] - winner["first_chunk_s"]
    record_property("cancelled_ms", round(cancelled_s * 1_000, 1))
    (leg,) = told.legs

    assert ["a", "b"] == [loser["model"], winner["model"]]
    assert result.finished is not None
    assert ("b", "gpt") == (told.deployment_id, told.model_group)
    assert ("a", "hedge_lost", "gpt", "openai", True, "") == (
        leg.deployment_id,
        leg.reason,
        leg.model_group,
        leg.provider,
        leg.estimated,
        leg.received_text,
    )
    assert [] == served.journey.failures
    assert 0 == subject.hedges.count


async def test_the_first_call_may_still_win(provider: DemoProvider) -> None:
    """Then the rival is the loser."""
    async with group(provider) as subject:
        result = await subject.stream(asking("demo:first=0.3"))
        served = served_of(result)

    assert "a" == served.deployment.id
    assert ["b"] == [leg.deployment.id for leg in served.journey.legs]
    assert ["complete", "disconnected"] == [each["outcome"] for each in await requests(provider)]


async def test_a_rival_that_fails_harms_nobody(provider: DemoProvider) -> None:
    """Its failure is known, and no leg: it has not answered."""
    async with group(provider) as subject:
        served = served_of(await subject.stream(asking("demo:first=0.3 demo:fail=500@b")))

    assert "a" == served.deployment.id
    assert ["b"] == [failure.deployment.id for failure in served.journey.failures]
    assert [] == served.journey.legs


async def test_a_call_that_fails_late_has_a_rival_already(provider: DemoProvider) -> None:
    """No time is lost, its failure counts, and it may have to be paid: nobody knows what became of it."""
    config = replace(CONFIG, timeout_s=0.5)
    async with group(provider, config) as subject:
        served = served_of(await subject.stream(asking("demo:first=0.45 demo:fail=hang_before_headers@a")))

    assert "b" == served.deployment.id
    assert ["a"] == [failure.deployment.id for failure in served.journey.failures]
    assert [("a", LegReason.UNANSWERED)] == [(leg.deployment.id, leg.reason) for leg in served.journey.legs]


async def test_when_both_fail_the_earlier_failure_is_told(provider: DemoProvider) -> None:
    """As without hedging; both attempts are named."""
    async with group(provider, replace(CONFIG, timeout_s=0.5)) as subject:
        async with aiohttp.ClientSession() as session:
            faults = [{"fault": "hang_before_headers@a"}, {"fault": "500@b"}]
            async with session.put(f"{provider.url}/demo/faults", json={"faults": faults}) as answer:
                assert 300 > answer.status
        with pytest.raises(MeshError) as caught:
            await subject.stream(asking())

    assert ("PROVIDER_UNAVAILABLE", "2") == (caught.value.reason, caught.value.metadata["upstream_calls"])


async def test_extra_calls_are_limited(provider: DemoProvider) -> None:
    """Twenty calls have earned one at five of a hundred: the second slow call waits."""
    config = replace(CONFIG, hedging=HedgingConfig(enabled=True))
    async with group(provider, config) as subject:
        for _ in range(2):
            await subject.stream(asking("demo:first=0.2"))

    assert ["a", "b", "a"] == [each["model"] for each in await requests(provider)]


@pytest.mark.parametrize(
    "config",
    [RouterConfig(num_retries=0), CONFIG],
    ids=["off by default", "nothing is known yet"],
)
async def test_no_hedge(provider: DemoProvider, config: RouterConfig) -> None:
    """One call, however slow."""
    async with group(provider, config, warm=not config.hedging.enabled) as subject:
        served = served_of(await subject.stream(asking("demo:first=0.2")))

    assert "a" == served.deployment.id
    assert 1 == len(await requests(provider))


async def test_who_cannot_pay_for_two_calls_is_not_hedged(provider: DemoProvider) -> None:
    """The end of a budget is near: an extra call could not be held for."""
    async with group(provider) as subject:
        served = served_of(await subject.stream(asking("demo:first=0.2"), extra_calls=False))

    assert "a" == served.deployment.id
    assert 1 == len(await requests(provider))


@pytest.mark.parametrize(("same", "calls"), [(False, 1), (True, 2)])
async def test_a_deployment_alone(provider: DemoProvider, same: bool, calls: int) -> None:
    """It is asked twice only if the configuration says so."""
    config = replace(CONFIG, hedging=replace(HEDGING, same_deployment=same))
    async with group(provider, config, alone=True) as subject:
        result = await subject.stream(asking("demo:first=0.2"))

    assert result.finished is not None
    assert ["a"] * calls == [each["model"] for each in await requests(provider)]


@pytest.mark.parametrize(("whole", "calls"), [(False, 1), (True, 2)])
async def test_whole_answers(provider: DemoProvider, whole: bool, calls: int) -> None:
    """By their total time, if the configuration says so."""
    config = replace(CONFIG, hedging=replace(HEDGING, whole_answers=whole))
    async with group(provider, config) as subject:
        served = await subject.served(asking("demo:first=0.2"))

    assert "a" == served.deployment.id
    assert ["a", "b"][:calls] == [each["model"] for each in await requests(provider)]
    assert calls - 1 == len(served.journey.legs)


async def test_a_caller_who_leaves_ends_both(provider: DemoProvider) -> None:
    """Nothing stays under way."""
    async with group(provider) as subject:
        task = asyncio.ensure_future(subject.stream(asking("demo:fail=hang_before_headers")))

        async def racing() -> bool:
            return 2 == len(await requests(provider))

        await eventually(racing, "both are asked")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert 0 == subject.hedges.count

        async def cut() -> bool:
            return ["disconnected"] * 2 == [each["outcome"] for each in await requests(provider)]

        await eventually(cut, "both connections are closed")


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address where connections are never established: its queue is full, and nobody takes from it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def test_a_loser_that_never_connected_costs_nothing(provider: DemoProvider) -> None:
    """Nothing was sent, so there is nothing to pay: no leg."""
    async with group(provider) as subject:
        found = subject.catalog.find("gpt")
        assert found is not None
        with black_hole() as nowhere:
            object.__setattr__(found.deployments[0], "api_base", nowhere)  # frozen for everybody else
            served = served_of(await subject.stream(asking()))

    assert "b" == served.deployment.id
    assert [] == served.journey.legs
    assert [] == served.journey.failures
