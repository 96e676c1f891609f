"""The circuit breaker: policies, the trial after a cooldown, and what replicas tell each other."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import Deployment, RouterConfig, Secret
from meshgate_chassis.tasks import TaskOwner
from meshgate_router.breaker import TRIAL_S, Breaker
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.redis_link import RedisLink, shared_redis
from meshgate_router.shared_breaker import SharedBreaker
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer
from tests.unit.router.support import deployment

DOWN, LIMITED, REFUSED = ErrorKind.UNAVAILABLE, ErrorKind.RATE_LIMITED, ErrorKind.AUTHENTICATION_FAILED
WRONG, LATE = ErrorKind.BAD_REQUEST, ErrorKind.TIMEOUT


def fail(subject: Breaker, where: Deployment, kind: ErrorKind = DOWN, after_s: float | None = None) -> bool:
    return subject.failed(where, ProviderError(kind, "", 500, retry_after_s=after_s), alternatives=False)


def cooled(config: RouterConfig, kind: ErrorKind = DOWN) -> tuple[Breaker, ManualClock, Deployment]:
    """A breaker whose deployment has just cooled down."""
    clock, where = ManualClock(), deployment()
    subject = Breaker(config, clock)
    assert fail(subject, where, kind)
    clock.advance(config.cooldown_time_s)
    return subject, clock, where


async def test_one_trial_after_a_cooldown() -> None:
    """The others wait for its outcome, but not for ever."""
    subject, clock, where = cooled(RouterConfig(allowed_fails=0))
    assert 0 == subject.cooling_s(where)
    assert await subject.admit(where)
    assert not await subject.admit(where)
    assert TRIAL_S == subject.cooling_s(where)

    clock.advance(TRIAL_S)
    assert await subject.admit(where)


async def test_a_good_trial_closes_the_circuit() -> None:
    """Then everybody may call."""
    subject, _, where = cooled(RouterConfig(allowed_fails=0))
    await subject.admit(where)
    subject.succeeded(where)

    assert not subject.on_trial(where)
    assert [True, True] == [await subject.admit(where) for _ in range(2)]


async def test_a_failed_trial_opens_it_again() -> None:
    """However many failures are allowed otherwise."""
    subject, clock, where = cooled(RouterConfig(allowed_fails=0))
    subject.succeeded(where)
    generous = Breaker(RouterConfig(allowed_fails=2, cooldown_time_s=30.0), clock)
    for _ in range(3):
        fail(generous, where)
    clock.advance(30.0)
    assert await generous.admit(where)
    assert fail(generous, where)
    assert 30.0 == generous.cooling_s(where)


async def test_a_trial_that_is_given_up_makes_room_for_another() -> None:
    """A caller that leaves says nothing about the provider; neither does a wrong request."""
    subject, _, where = cooled(RouterConfig(allowed_fails=0))
    await subject.admit(where)
    subject.given_up(where)
    assert await subject.admit(where)
    assert not fail(subject, where, WRONG)
    assert await subject.admit(where)


async def test_a_rate_limit_ends_by_itself() -> None:
    """No trial: the provider has said when it is over."""
    subject, _, where = cooled(RouterConfig(allowed_fails=0), LIMITED)
    assert not subject.on_trial(where)
    assert [True, True] == [await subject.admit(where) for _ in range(2)]


def cools_after(config: RouterConfig, kind: ErrorKind, **changes: Any) -> int:
    """How many failures it takes; 0: no number of them."""
    subject, where = Breaker(config, ManualClock()), deployment(**changes)
    return next((number for number in range(1, 20) if fail(subject, where, kind)), 0)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (DOWN, {}, 4),
        (REFUSED, {}, 1),
        (LIMITED, {}, 8),
        (WRONG, {}, 0),
        (DOWN, {"allowed_fails": 1}, 2),
        (REFUSED, {"allowed_fails": 5}, 1),
        (REFUSED, {"allowed_fails_policy": {"authentication": 2}}, 3),
        (WRONG, {"allowed_fails_policy": {"bad_request": 2}}, 3),
    ],
)
def test_policies(kind: ErrorKind, changes: dict[str, Any], expected: int) -> None:
    """The deployment's before the router's, a class of errors before all; what has none is not counted."""
    config = RouterConfig(allowed_fails=3, allowed_fails_policy={"authentication": 0, "rate_limit": 7})
    assert expected == cools_after(config, kind, **changes)


def test_classes_are_counted_apart() -> None:
    """Seven rate limits and seven refusals are seven of each."""
    config = RouterConfig(allowed_fails_policy={"timeout": 1, "internal_server": 1})
    subject, where = Breaker(config, ManualClock()), deployment()
    assert [False, False, True] == [fail(subject, where, kind) for kind in (LATE, DOWN, LATE)]


def test_cooldowns_can_be_switched_off_or_set_for_one() -> None:
    """disable_cooldowns; cooldown_time of a deployment."""
    assert 0 == cools_after(RouterConfig(allowed_fails=0, cooldowns=False), DOWN)
    subject, where = Breaker(RouterConfig(allowed_fails=0), ManualClock()), deployment(cooldown_time_s=77.0)
    fail(subject, where)
    assert 77.0 == subject.cooling_s(where)


def test_copies_of_an_entry_cool_down_together() -> None:
    """It is the same upstream."""
    subject = Breaker(RouterConfig(allowed_fails=0), ManualClock())
    where = deployment("a", id="one", upstream_model="m")
    fail(subject, where)
    assert subject.cooling_s(deployment("g", id="one@g", same_as="one", upstream_model="m")) > 0


@dataclass(frozen=True)
class Replica:
    """One router's breaker, with Redis."""

    breaker: Breaker
    shared: SharedBreaker
    tasks: TaskOwner


@contextlib.asynccontextmanager
async def replica(url: str, config: RouterConfig) -> AsyncIterator[Replica]:
    clock, client = SystemClock(), shared_redis(Secret(url))
    tasks, watch = TaskOwner("breaker", 1_000), TaskOwner("watch", 1)
    breaker = Breaker(config, clock)
    breaker.replicas = shared = SharedBreaker(breaker, RedisLink(client, clock), tasks, clock)
    watch.start(shared.run(), "cooldowns")
    try:
        yield Replica(breaker, shared, tasks)
    finally:
        await watch.drain(0.0)
        await tasks.drain(5.0)
        await client.aclose()


async def test_a_cooldown_is_one_for_all_replicas(redis_url: str) -> None:
    """The second router, and one that starts later, leave the deployment alone as well."""
    config, where = RouterConfig(allowed_fails=0, cooldown_time_s=60.0), deployment()
    async with replica(redis_url, config) as a, replica(redis_url, config) as b:
        assert fail(a.breaker, where)
        await eventually(lambda: b.breaker.cooling_s(where) > 50, "the other replica knows")
        async with replica(redis_url, config) as late:
            await late.shared.read()
            assert late.breaker.cooling_s(where) > 50


async def test_failures_are_counted_over_all_replicas(redis_url: str) -> None:
    """Two of them, of which each router saw one and a half."""
    config, where = RouterConfig(allowed_fails=2, cooldown_time_s=60.0), deployment()
    async with replica(redis_url, config) as a, replica(redis_url, config) as b:
        assert not fail(a.breaker, where)
        assert not fail(b.breaker, where)
        assert not fail(a.breaker, where)
        await eventually(lambda: a.breaker.cooling_s(where) > 50, "three failures were too many")
        await eventually(lambda: b.breaker.cooling_s(where) > 50, "and the other replica knows")


async def test_one_trial_among_all_replicas_and_its_outcome_is_known_to_all(redis_url: str) -> None:
    """The others keep away until it went well."""
    config, where = RouterConfig(allowed_fails=0, cooldown_time_s=0.2), deployment()
    async with replica(redis_url, config) as a, replica(redis_url, config) as b:
        fail(a.breaker, where)
        await eventually(lambda: b.breaker.on_trial(where), "the other replica knows")
        await eventually(lambda: a.breaker.cooling_s(where) == b.breaker.cooling_s(where) == 0, "it is over")
        admitted = [await each.breaker.admit(where) for each in (a, b)]
        assert [True, False] == admitted

        a.breaker.succeeded(where)
        await eventually(lambda: not b.breaker.on_trial(where), "the circuit is closed everywhere")
        assert await b.breaker.admit(where)
        await a.shared.read()
        assert not a.breaker.on_trial(where)


async def test_without_redis_each_replica_has_its_own_cooldowns(own_redis_server: RedisServer) -> None:
    """And the trial needs nobody's leave."""
    config, where = RouterConfig(allowed_fails=0, cooldown_time_s=0.2), deployment()
    async with replica(own_redis_server.url, config) as a:
        await eventually(lambda: a.tasks.count == 0, "connected")
        own_redis_server.kill()
        assert fail(a.breaker, where)
        await eventually(lambda: a.breaker.cooling_s(where) == 0, "the cooldown is over")
        assert a.breaker.on_trial(where)
        assert await a.breaker.admit(where)
        assert not await a.breaker.admit(where)


async def test_what_redis_forgot_is_remembered_here(own_redis_server: RedisServer) -> None:
    """A Redis that comes back empty closes no circuit that it was never told of, and no cooldown is lost."""
    config, where = RouterConfig(allowed_fails=0, cooldown_time_s=60.0), deployment()
    async with replica(own_redis_server.url, config) as a:
        own_redis_server.kill()
        fail(a.breaker, where)
        await eventually(lambda: a.tasks.count == 0, "nobody could be told")
        own_redis_server.start()
        for _ in range(3):
            await a.shared.read()
        assert a.breaker.cooling_s(where) > 50
