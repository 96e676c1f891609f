"""Retries by policy and within a budget, time for those who follow, hedges and continuations."""

import asyncio
from typing import Any

import pytest

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_router.deadline_split import share_s
from meshgate_router.providers.base import ErrorKind
from meshgate_router.retry_budget import RETRIES_FREE, RETRY_SHARE_MAX, WINDOW_S, RetryBudget
from tests.support.clock import ManualClock
from tests.unit.router.script import Script, failure
from tests.unit.router.support import deployment

DOWN, LATE = failure(ErrorKind.UNAVAILABLE), failure(ErrorKind.TIMEOUT)
WRONG, REFUSED = failure(ErrorKind.BAD_REQUEST), failure(ErrorKind.AUTHENTICATION_FAILED)


def one(**changes: Any) -> list[Deployment]:
    return [deployment("a", **changes)]


async def calls_of(script: Script, **members: Any) -> int:
    with pytest.raises(MeshError):
        await script.run(**members)
    return len(script.calls)


@pytest.mark.parametrize(
    ("config", "changes", "task", "error", "expected"),
    [
        (RouterConfig(num_retries=1), {}, {}, DOWN, 2),
        (RouterConfig(num_retries=1), {"num_retries": 3}, {}, DOWN, 4),
        (RouterConfig(num_retries=1), {"num_retries": 0}, {}, DOWN, 1),
        (RouterConfig(num_retries=3, retry_policy={"internal_server": 0}), {}, {}, DOWN, 1),
        (RouterConfig(num_retries=3, retry_policy={"timeout": 0}), {}, {}, DOWN, 4),
        (RouterConfig(num_retries=0, retry_policy={"timeout": 2}), {}, {}, LATE, 3),
        (RouterConfig(num_retries=3, retry_policy={"bad_request": 1}), {}, {}, WRONG, 2),
        (RouterConfig(num_retries=3, retry_policy={"authentication": 1}), {}, {}, REFUSED, 2),
        (
            RouterConfig(retry_policy={"timeout": 1}, group_retry_policies={"a": {"timeout": 4}}),
            {},
            {},
            LATE,
            5,
        ),
        (RouterConfig(retry_policy={"timeout": 1}), {"retry_policy": {"timeout": 0}}, {}, LATE, 1),
        (RouterConfig(retry_policy={"timeout": 1}), {"num_retries": 5}, {"num_retries": 2}, LATE, 3),
    ],
)
async def test_how_many_retries(
    config: RouterConfig, changes: dict[str, Any], task: dict[str, Any], error: Any, expected: int
) -> None:
    """The request's number, then the policies of the error's class, then the deployment's or the router's."""
    assert expected == await calls_of(Script(one(**changes), config, a=[error]), **task)


class StillClock(ManualClock):
    """Pauses take no time: everything happens within one window."""

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(0)


async def test_a_dead_provider_causes_no_storm() -> None:
    """Of many requests only a share is repeated; the errors come at once, and with their own reason."""
    requests = 400
    script = Script(one(), RouterConfig(num_retries=3), clock=StillClock(), a=[DOWN])
    for _ in range(requests):
        with pytest.raises(MeshError) as caught:
            await script.run()
        assert "PROVIDER_UNAVAILABLE" == caught.value.reason

    retries = len(script.calls) - requests
    assert RETRY_SHARE_MAX * requests <= retries <= RETRIES_FREE + RETRY_SHARE_MAX * requests


def test_the_budget_is_of_the_latest_requests() -> None:
    """What was long ago neither counts for nor against; groups do not share it."""
    clock = ManualClock()
    budget = RetryBudget(clock)
    for _ in range(100):
        budget.request("a")
    allowed = sum(budget.allow("a") for _ in range(200))
    assert RETRIES_FREE + int(RETRY_SHARE_MAX * 100) == allowed
    assert budget.allow("b")

    clock.advance(WINDOW_S)
    assert RETRIES_FREE == sum(budget.allow("a") for _ in range(200))


async def test_other_deployments_need_no_budget() -> None:
    """There are only so many of them."""
    group = [deployment("a", id="id-a1"), deployment("a", id="id-a2")]
    script = Script(group, RouterConfig(num_retries=1, allowed_fails=10**6), a1=[DOWN])
    for _ in range(300):
        await script.run()


@pytest.mark.parametrize(
    ("left_s", "following_s", "expected"),
    [(60.0, [], 60.0), (60.0, [600.0], 30.0), (60.0, [10.0], 50.0), (60.0, [600.0, 600.0], 20.0)],
)
def test_shares(left_s: float, following_s: list[float], expected: float) -> None:
    """Those who follow get what they want, or an equal part."""
    assert expected == share_s(left_s, following_s)


async def test_a_fallback_still_gets_its_time() -> None:
    """However long the first tier may take."""
    group = [deployment("a", timeout_s=600.0), deployment("b", timeout_s=20.0)]
    script = Script(group, RouterConfig(fallbacks={"a": ["b"]}), a=[LATE])
    script.call_s = 1_000.0
    await script.run(deadline_s=60.0)

    first, second = script.timeouts
    assert 40.0 == pytest.approx(first.total_s, abs=0.1)
    assert 20.0 == pytest.approx(second.total_s, abs=0.1)


async def test_an_alternative_for_a_hedge() -> None:
    """Another deployment of the group that may be called now; it counts as under way until it is over."""
    group = [deployment("a", id="id-a1"), deployment("a", id="id-a2")]
    script = Script(group, RouterConfig(allowed_fails=0, cooldown_time_s=60.0))
    task = script.task()
    served = await script.held()
    rival = await script.router.loop.alternative(task, served.lease)
    assert rival is not None
    assert rival.deployment != served.deployment
    states = script.router.routing.states
    assert 1 == states.of(rival.deployment).in_flight

    rival.ended()
    assert 0 == states.of(rival.deployment).in_flight
    again = await script.router.loop.alternative(task, served.lease)
    assert again is not None
    again.failed(DOWN)
    assert None is await script.router.loop.alternative(task, served.lease)
    assert [DOWN] == [each.error for each in served.journey.failures]


async def test_a_broken_stream_goes_on_elsewhere() -> None:
    """With the group's others, then with the fallbacks that were not tried, the earlier groups' as well."""
    group = [
        deployment("a"),
        deployment("b", id="id-b1"),
        deployment("b", id="id-b2"),
        deployment("c"),
    ]
    script = Script(group, RouterConfig(num_retries=0, fallbacks={"a": ["b", "c"]}), a=[DOWN])
    task = script.task()
    served = await script.router.loop.run(task, script.call)
    served.lease.failed(DOWN)
    second = await script.router.loop.resume(task, served.lease, script.call)
    second.lease.failed(DOWN)

    assert {"b1", "b2"} == set(script.calls[1:])
    script.outcomes["b1"] = script.outcomes["b2"] = [DOWN]
    third = await script.router.loop.resume(task, second.lease, script.call)
    assert ("c", 2) == (script.calls[-1], third.journey.counts.fallbacks)

    third.lease.failed(DOWN)
    with pytest.raises(MeshError):
        await script.router.loop.resume(task, third.lease, script.call)
