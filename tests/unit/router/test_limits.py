"""Limits of deployments: exact in one process, exact over several with Redis, and what happens without it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import DeploymentLimits, Secret
from meshgate_chassis.tasks import TaskOwner
from meshgate_router.deployment_limits import Full, Limits, LocalLimits, Taken
from meshgate_router.limit_rules import Amounts, Ask, ask_of, corrections
from meshgate_router.redis_link import RedisLink, Script, shared_redis
from meshgate_router.shared_limits import SharedLimits
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.redis_cluster import CLUSTER_KINDS, RedisCluster, redis_cluster
from tests.support.redis_server import RedisServer
from tests.unit.router.support import deployment

__all__ = ["redis_cluster"]

NOON_NS = 1_700_000_000_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000 + 43_200_000_000_000
HOLD_S = 60.0
WARM_S = 20.0


def ask(account: str = "d", tokens: int = 0, now_s: float = 0.0, **limits: object) -> Ask:
    where = deployment("a", id=account, limits=DeploymentLimits(**limits))
    return ask_of(where, Amounts(1, tokens, 0), now_s)


async def taken(limits: Limits, *asks: Ask, lease: str = "l") -> Taken:
    found = await limits.take(asks, lease, HOLD_S)
    assert isinstance(found, Taken)
    return found


async def full(limits: Limits, *asks: Ask) -> Full:
    found = await limits.take(asks, "no", HOLD_S)
    assert isinstance(found, Full)
    return found


async def test_a_minute_s_requests() -> None:
    """No more than rpm in a minute of the clock; then again."""
    clock = ManualClock(NOON_NS + 15 * 10**9)
    limits = LocalLimits(clock)
    for _ in range(3):
        await taken(limits, ask(rpm=3))
    assert Full(45.0) == await full(limits, ask(rpm=3))

    clock.advance(45.0)
    await taken(limits, ask(rpm=3))


async def test_the_next_best_takes_over() -> None:
    """In the order of the asks; when all are full, the one that is free first says how long."""
    clock = ManualClock(NOON_NS)
    limits = LocalLimits(clock)
    one, other = ask("one", rpm=1), ask("other", rpd=1)
    found = [(await taken(limits, one, other)).position for _ in range(2)]

    assert [0, 1] == found
    assert Full(60.0) == await full(limits, one, other)
    assert Full(43_200.0) == await full(limits, other)


async def test_tokens_are_reserved_and_then_corrected() -> None:
    """What was used counts, in the minute it was reserved in."""
    clock = ManualClock(NOON_NS)
    limits = LocalLimits(clock)
    first = await taken(limits, ask(tokens=80, tpm=100))
    await full(limits, ask(tokens=30, tpm=100))
    limits.settle(first, corrections(Amounts(1, 80, 0), Amounts(1, 10, 5)))
    await taken(limits, ask(tokens=85, tpm=100))
    await full(limits, ask(tokens=1, tpm=100))


async def test_an_estimate_above_the_limit_is_let_through_alone() -> None:
    """It may be wrong; else the request could never be served."""
    limits = LocalLimits(ManualClock(NOON_NS))
    await taken(limits, ask(tokens=500, tpm=100))
    await full(limits, ask(tokens=1, tpm=100))
    await full(limits, ask("none", tpm=0, tokens=5))


async def test_a_day_begins_where_the_provider_is() -> None:
    """Google's free quota is renewed at midnight in California."""
    clock = ManualClock(NOON_NS)  # 4 or 5 in the morning there
    limits = LocalLimits(clock)
    quota = {"rpd": 1, "time_zone": "America/Los_Angeles"}
    await taken(limits, ask(now_s=NOON_NS / 1e9, **quota))
    wait = (await full(limits, ask(now_s=NOON_NS / 1e9, **quota))).wait_s

    assert wait in (19 * 3_600.0, 20 * 3_600.0)
    clock.advance(13 * 3_600.0)  # a new day in UTC, not there
    await full(limits, ask(now_s=clock.now_ns() / 1e9, **quota))
    clock.advance(7 * 3_600.0)
    await taken(limits, ask(now_s=clock.now_ns() / 1e9, **quota))


async def test_calls_at_a_time() -> None:
    """A call that is over makes room; one that is forgotten does so after its time."""
    clock = ManualClock(NOON_NS)
    limits = LocalLimits(clock)
    busy = ask(max_parallel_requests=2)
    first = await taken(limits, busy, lease="1")
    await taken(limits, busy, lease="2")
    assert Full(None) == await full(limits, busy)

    limits.settle(first, {})
    await taken(limits, busy, lease="3")
    await full(limits, busy)
    clock.advance(HOLD_S)
    await taken(limits, busy, lease="4")


@dataclass(frozen=True)
class Replica:
    """One router's limits, with Redis."""

    limits: SharedLimits
    link: RedisLink
    tasks: TaskOwner


@contextlib.asynccontextmanager
async def replica(url: str, nodes: Sequence[tuple[str, int]] = ()) -> AsyncIterator[Replica]:
    clock = SystemClock()
    client, tasks = shared_redis(Secret(url), nodes), TaskOwner("limits", 1_000)
    link = RedisLink(client, clock)
    try:
        yield Replica(SharedLimits(link, LocalLimits(clock), tasks), link, tasks)
    finally:
        await tasks.drain(5.0)
        await client.aclose()


@pytest.mark.parametrize("redis_server", ["valkey", "redis"], indirect=True)
async def test_replicas_share_a_daily_quota_exactly(redis_url: str) -> None:
    """Three routers, 400 requests at once, 150 of a day: 150 pass."""
    async with replica(redis_url) as a, replica(redis_url) as b, replica(redis_url) as c:
        quota = ask(rpd=150, rpm=1_000)
        waits = [
            limits.take([quota], f"lease-{number}", HOLD_S)
            for number in range(400)
            for limits in [(a, b, c)[number % 3].limits]
        ]
        found = await asyncio.gather(*waits)

    assert 150 == sum(isinstance(each, Taken) for each in found)
    assert all(
        isinstance(each, Full) and each.wait_s and each.wait_s > 0 for each in found if isinstance(each, Full)
    )


@pytest.mark.parametrize("redis_cluster", CLUSTER_KINDS, indirect=True)
async def test_replicas_share_a_quota_over_a_cluster(redis_cluster: RedisCluster) -> None:
    """Each of them knows another of the servers; their keys are in one slot, so that one server decides."""
    url, nodes = redis_cluster.url, redis_cluster.nodes
    async with replica(url, nodes[:1]) as a, replica(url, nodes[1:2]) as b, replica(url, nodes[2:]) as c:
        for each in (a, b, c):  # they find the cluster before they have to be quick
            await each.link.run(Script("return 1"), (), (), WARM_S)
        quota = ask("of-a-cluster", rpd=15, rpm=1_000)
        found = [
            await (a, b, c)[number % 3].limits.take([quota], f"lease-{number}", HOLD_S)
            for number in range(40)
        ]

    assert 15 == sum(isinstance(each, Taken) for each in found)
    assert all(each.shared for each in found if isinstance(each, Taken))


async def test_without_its_cluster_a_replica_keeps_the_limit_itself() -> None:
    """What redis-py raises for a cluster that cannot be reached is none of its own RedisErrors."""
    async with replica("redis://127.0.0.1:1", [("127.0.0.1", 1)]) as a:
        assert await a.link.run(Script("return 1"), (), (), WARM_S) is None
        assert a.link.away
        await taken(a.limits, ask(rpd=1))
        await full(a.limits, ask(rpd=1))


async def test_replicas_share_minutes_and_calls_at_a_time(redis_url: str) -> None:
    """Two of one at a time pass by two deployments; the third waits for one of them."""
    async with replica(redis_url) as a, replica(redis_url) as b:
        one, other = ask("one", max_parallel_requests=1), ask("other", max_parallel_requests=1)
        first = await taken(a.limits, one, other, lease="1")
        second = await taken(b.limits, one, other, lease="2")
        assert Counter((0, 1)) == Counter((first.position, second.position))
        assert Full(None) == await full(b.limits, one, other)

        a.limits.settle(first, {})

        async def free() -> bool:
            return isinstance(await b.limits.take([one], "3", HOLD_S), Taken)

        await eventually(free, "the place is free for the other replica")


async def test_what_was_not_used_is_given_back_to_all(redis_url: str) -> None:
    """Tokens reserved here are free for others once the usage is known."""
    async with replica(redis_url) as a, replica(redis_url) as b:
        first = await taken(a.limits, ask(tokens=90, tpd=100))
        await full(b.limits, ask(tokens=50, tpd=100))
        a.limits.settle(first, corrections(Amounts(1, 90, 0), Amounts(1, 10, 0)))
        await a.tasks.drain(5.0)
        await taken(b.limits, ask(tokens=90, tpd=100))
        await full(b.limits, ask(tokens=1, tpd=100))


async def test_without_redis_each_replica_keeps_the_limit_itself(own_redis_server: RedisServer) -> None:
    """What it took before counts; nobody waits long; when Redis is back it is asked again."""
    async with replica(own_redis_server.url) as a:
        quota = ask(rpd=3)
        await taken(a.limits, quota)
        own_redis_server.kill()
        await taken(a.limits, quota)
        assert a.link.away
        await taken(a.limits, quota)
        await full(a.limits, quota)

        own_redis_server.start()  # empty

        async def shared() -> bool:
            found = await a.limits.take([quota], "later", HOLD_S)
            return isinstance(found, Taken) and found.shared

        await eventually(shared, "Redis is asked again")


async def test_a_redis_that_hangs_is_not_waited_for_twice(own_redis_server: RedisServer) -> None:
    """Two short deadlines, then the limits are local for a while."""
    async with replica(own_redis_server.url) as a:
        await taken(a.limits, ask(rpd=9))
        own_redis_server.hang()
        found = [await taken(a.limits, ask(rpd=9)) for _ in range(3)]
        own_redis_server.resume()

        assert not any(each.shared for each in found)
        assert a.link.away


async def test_a_request_that_is_cancelled_takes_nothing(redis_url: str) -> None:
    """Whoever goes away while Redis is asked leaves the limits as they were."""
    async with replica(redis_url) as a:
        work = asyncio.ensure_future(a.limits.take([ask(rpd=1)], "gone", HOLD_S))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await eventually(lambda: a.tasks.count == 0, "it is given back")
        await taken(a.limits, ask(rpd=1))
