"""Who is asked, and who next: limits, order, tags, windows, prices, and calls at a time."""

import asyncio
from typing import Any

import pytest

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import Deployment, DeploymentLimits, DeploymentPrice, RouterConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_router.lease import Lease
from meshgate_router.providers.base import ErrorKind
from tests.unit.router.script import Script, failure
from tests.unit.router.support import deployment

DOWN, LATE = failure(ErrorKind.UNAVAILABLE), failure(ErrorKind.TIMEOUT)
LIMITED = failure(ErrorKind.RATE_LIMITED, 30.0)


def member(name: str, group: str = "a", **changes: Any) -> Deployment:
    return deployment(group, id=f"id-{name}", **changes)


def limited(name: str, group: str = "a", **limits: Any) -> Deployment:
    return member(name, group, limits=DeploymentLimits(**limits))


async def test_order_comes_before_the_strategy() -> None:
    """Only the first are asked, until they fail, cool down or are full."""
    config = RouterConfig(num_retries=1)
    group = [member("first", order=1), member("second", order=2), member("never")]
    script = Script(group, config)
    for _ in range(5):
        await script.run()
    assert {"first"} == set(script.calls)

    script.calls.clear()
    script.outcomes["first"] = [DOWN]
    await script.run()
    assert ["first", "second"] == script.calls


async def test_what_is_full_is_passed_by() -> None:
    """Within the group, then by the fallback; the minute after it is asked again."""
    group = [limited("a1", rpm=1, rpd=3), limited("a2", rpm=1), member("b1", "b")]
    script = Script(group, RouterConfig(fallbacks={"a": ["b"]}))
    served = [await script.run() for _ in range(3)]

    assert {"a1", "a2"} == set(script.calls[:2])
    assert ("b1", 1) == (script.calls[2], served[2].journey.counts.fallbacks)
    script.clock.advance(60.0)
    await script.run()
    assert script.calls[3] in ("a1", "a2")


async def test_a_daily_quota_is_kept() -> None:
    """Of the free tier: 1,500 a day and no more; the client learns when to come back."""
    script = Script([limited("a1", rpd=1_500)], RouterConfig())
    for _ in range(1_500):
        await script.run()
    with pytest.raises(MeshError) as caught:
        await script.run()
    error = caught.value

    assert 1_500 == len(script.calls)
    assert (Code.RESOURCE_EXHAUSTED, "DEPLOYMENT_LIMITS_REACHED", "0", "429") == (
        error.code,
        error.reason,
        error.metadata["upstream_calls"],
        error.metadata["http_status"],
    )
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= 86_400
    script.clock.advance(error.retry_after_s)
    await script.run()


async def test_calls_that_were_not_sent_use_up_nothing() -> None:
    """A connection that was refused is no request to the provider."""
    unsent = failure(ErrorKind.UNAVAILABLE, sent=False)
    script = Script([limited("a1", rpd=1)], RouterConfig(num_retries=0), a1=[unsent, "fine", "fine"])
    with pytest.raises(MeshError):
        await script.run()
    await script.run()
    with pytest.raises(MeshError) as caught:
        await script.run()
    assert "DEPLOYMENT_LIMITS_REACHED" == caught.value.reason


async def test_copies_of_an_entry_share_its_limits() -> None:
    """model_groups: another name is no further quota."""
    own = limited("one", rpm=2)
    copy = member("copy", "g", same_as="id-one", limits=own.limits)
    script = Script([own, copy], RouterConfig())
    await script.run("a")
    await script.run("g")
    for name in ("a", "g"):
        with pytest.raises(MeshError):
            await script.run(name)


async def test_calls_at_a_time_wait_where_nobody_else_can_be_asked() -> None:
    """Not for ever; and the one that ends makes room at once."""
    script = Script([limited("a1", max_parallel_requests=1)], RouterConfig())
    first = await script.held()
    waiting = asyncio.ensure_future(script.run(deadline_s=100.0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    first.lease.ended()
    assert "fine" == (await waiting).value

    await script.held()
    with pytest.raises(MeshError) as caught:
        await script.run(deadline_s=10.0)
    assert "DEPLOYMENT_LIMITS_REACHED" == caught.value.reason
    assert 2 == len([name for name in script.calls if name == "a1"]) - 1


async def test_calls_at_a_time_do_not_wait_where_there_is_a_fallback() -> None:
    """It is asked at once."""
    group = [limited("a1", max_parallel_requests=1), member("b1", "b")]
    script = Script(group, RouterConfig(fallbacks={"a": ["b"]}))
    await script.held()
    await script.held()

    assert ["a1", "b1"] == script.calls
    assert [] == script.clock.slept_s


async def test_least_busy_counts_what_is_under_way() -> None:
    """From the pick to the end of the call, whatever becomes of it."""
    script = Script([member("a1"), member("a2")], RouterConfig(routing_strategy="least-busy"))
    first, second = await script.held(), await script.held()
    assert {"a1", "a2"} == set(script.calls)

    second.lease.failed(DOWN)
    second.lease.failed(DOWN)
    second.lease.ended()
    for _ in range(3):
        await script.run()
    assert {script.calls[1]} == set(script.calls[2:])
    first.lease.ended()


async def test_the_fastest_is_asked() -> None:
    """Measured by this router itself: time for each answer token, a timeout counts as very slow."""
    config = RouterConfig(routing_strategy="latency-based-routing", num_retries=1)
    script = Script([member("slow"), member("fast")], config, slow=[LATE, "fine"])
    for _ in range(8):
        await script.run()
    script.calls.clear()
    for _ in range(8):
        await script.run()
    assert {"fast"} == set(script.calls)


async def test_a_group_may_have_a_strategy_of_its_own() -> None:
    """model_groups[].routing_strategy."""
    cheap, dear = DeploymentPrice(1, 1), DeploymentPrice(10**12, 10**12)
    group = [member("dear", price=dear), member("cheap", price=cheap)]
    script = Script(group, RouterConfig(group_strategies={"a": "cost-based-routing"}))
    for _ in range(10):
        await script.run()
    assert {"cheap"} == set(script.calls)


async def test_a_budget_that_is_nearly_spent_goes_to_who_it_can_pay() -> None:
    """Whatever the strategy."""
    cheap, dear = DeploymentPrice(1, 1), DeploymentPrice(10**12, 10**12)
    script = Script(
        [member("dear", price=dear, weight=99.0), member("cheap", price=cheap, weight=1.0)], RouterConfig()
    )
    for _ in range(10):
        await script.run(remaining_budget_usd_nanos=1_000, prompt_tokens=1_000)
    assert {"cheap"} == set(script.calls)
    await script.run(remaining_budget_usd_nanos=10**15, prompt_tokens=1_000)
    assert "dear" in script.calls


async def test_tags_and_blocked_entries() -> None:
    """Nobody left is an error of its own, and costs nothing."""
    config = RouterConfig(tag_filtering=True)
    script = Script([member("free", tags=("free",)), member("paid", tags=("paid",), blocked=True)], config)
    await script.run(tags=("free",))
    with pytest.raises(MeshError) as caught:
        await script.run(tags=("paid",))

    assert ["free"] == script.calls
    assert ("DEPLOYMENTS_NOT_PERMITTED", "0") == (
        caught.value.reason,
        caught.value.metadata["upstream_calls"],
    )


async def test_a_long_prompt_goes_where_it_fits() -> None:
    """enable_pre_call_checks: within the group, then to context_window_fallbacks."""
    config = RouterConfig(
        pre_call_checks=True, context_window_fallbacks={"a": ["long"]}, fallbacks={"a": ["wrong"]}
    )
    group = [
        member("small", max_input_tokens=100),
        member("large", max_input_tokens=1_000),
        member("long", "long", max_input_tokens=10_000),
        member("wrong", "wrong"),
    ]
    script = Script(group, config)
    for tokens in (500, 5_000):
        await script.run(prompt_tokens=tokens)
    assert ["large", "long"] == script.calls

    with pytest.raises(MeshError) as caught:
        await script.run(prompt_tokens=50_000)
    assert ("PROVIDER_CONTEXT_WINDOW_EXCEEDED", "0") == (
        caught.value.reason,
        caught.value.metadata["upstream_calls"],
    )


async def test_everything_that_was_tried_or_passed_by_is_told() -> None:
    """In one error, that of the first."""
    config = RouterConfig(num_retries=0, allowed_fails=0, cooldown_time_s=60.0, fallbacks={"a": ["b", "c"]})
    group = [member("a1"), limited("b1", "b", rpm=0), member("c1", "c")]
    script = Script(group, config, a1=[DOWN], c1=[LIMITED])
    with pytest.raises(MeshError) as caught:
        await script.run()
    assert "PROVIDER_UNAVAILABLE" == caught.value.reason
    assert [
        ("a", "PROVIDER_UNAVAILABLE"),
        ("c", "PROVIDER_RATE_LIMITED"),
        ("b", "DEPLOYMENT_LIMITS_REACHED"),
    ] == [(each["group"], each["reason"]) for each in loads(caught.value.metadata["attempts"])]


async def test_a_fallback_is_an_alternative() -> None:
    """Without allowed_fails, too: whoever is rate limited is left alone as long as it says."""
    alone = Script([member("a1")], RouterConfig(num_retries=0), a1=[LIMITED])
    chained = Script(
        [member("a1"), member("b1", "b")], RouterConfig(num_retries=0, fallbacks={"a": ["b"]}), a1=[LIMITED]
    )
    for _ in range(2):
        with pytest.raises(MeshError):
            await alone.run()
        await chained.run()

    assert ["a1", "a1"] == alone.calls
    assert ["a1", "b1", "b1"] == chained.calls
    chained.clock.advance(30.0)
    await chained.run()
    assert "a1" == chained.calls[3]


async def test_the_outcome_of_a_trial_is_waited_for_where_nobody_else_can_be_asked() -> None:
    """A refusal would be certain to fail; the trial may go well."""
    script = Script(
        [member("a1")], RouterConfig(num_retries=0, allowed_fails=0, cooldown_time_s=5.0), a1=[DOWN, "fine"]
    )
    with pytest.raises(MeshError):
        await script.run()
    script.clock.advance(5.0)
    task = script.task()
    going = asyncio.Event()

    async def slow(lease: Lease) -> tuple[str, Lease]:
        await going.wait()
        return "fine", lease

    trial = asyncio.ensure_future(script.router.loop.run(task, slow))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(script.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert ["a1"] == script.calls

    going.set()
    assert "fine" == (await trial).value
    assert "fine" == (await waiting).value
