"""Four replicas and a thousand calls at once against one limit: exact, whatever the order."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from meshgate_ledger.database import DatabaseOptions
from meshgate_ledger.group_commit import GroupLimits
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.postgres_store import StoreOptions
from meshgate_ledger.records import Denial, Grant
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import LedgerSubject, books, open_ledger

CALLS = 1_000
SEEDS = range(4)


@pytest.fixture
async def replicas(postgres_dsn: str) -> AsyncIterator[list[LedgerSubject]]:
    """Four, with batches of different sizes, one of them with several at a time; on one clock."""
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        sizes = (GroupLimits(), GroupLimits(items_max=8), GroupLimits(items_max=32, batches_max=3))
        limits = (*sizes, GroupLimits(items_max=100))
        yield [
            await stack.enter_async_context(
                open_ledger(
                    postgres_dsn,
                    clock,
                    store_options=StoreOptions(each),
                    database_options=DatabaseOptions(connections_max=4, use_timeout_s=30.0),
                )
            )
            for each in limits
        ]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_capped_key(replicas: list[LedgerSubject], postgres_dsn: str, seed: int) -> None:
    """Calls of random size, settled for what they held: at most the cap, and 98 % of it are used before
    anybody is refused; the rest by who still fits."""
    dice = random.Random(seed)
    sizes = [dice.randint(1, 2_000) for _ in range(CALLS)]
    cap = sum(sizes) // 2
    caller = await replicas[0].add_key(budget=cap, user_id="u", team_id="t")
    await replicas[0].limit("gateway", LimitSpec("spend", "1d", cap + dice.randint(-1_000, 1_000)))
    refused_at: list[int] = []

    async def call(number: int) -> int:
        size = sizes[number]
        name = f"r{number}"
        decision = await dice.choice(replicas).reserve(name, caller, output_tokens=0, prompt_tokens=size)
        if isinstance(decision, Denial):
            refused_at.append(decision.spend_nanos)
            return 0
        posting = await dice.choice(replicas).settle(name, prompt=size, completion=0)
        return posting.cost.total

    charged = sum(await asyncio.gather(*(call(number) for number in range(CALLS))))

    assert (charged, 0) == await replicas[0].money()
    assert charged <= cap
    assert min(refused_at) >= 0.98 * (cap - 1_000)
    assert charged >= 0.98 * (cap - 1_000)
    assert (await books(postgres_dsn)).balanced


@pytest.mark.parametrize("seed", SEEDS)
async def test_requests_per_minute(replicas: list[LedgerSubject], seed: int) -> None:
    """As many as the limit says are admitted, not one more or less; on the next minute again."""
    dice = random.Random(seed)
    caller = await replicas[0].add_key()
    await replicas[0].limit("gateway", LimitSpec("requests", "60s", 313))
    for minute in range(2):
        decisions = await asyncio.gather(
            *(dice.choice(replicas).reserve(f"r{minute}-{number}", caller) for number in range(CALLS // 2))
        )
        assert 313 == sum(isinstance(each, Grant) for each in decisions)
        replicas[0].clock.advance(60)


@pytest.mark.parametrize("seed", SEEDS)
async def test_tokens_per_minute(replicas: list[LedgerSubject], seed: int) -> None:
    """Calls of one size fill it exactly; calls of random size leave no room for the smallest refused."""
    dice = random.Random(seed)
    caller = await replicas[0].add_key()
    await replicas[0].limit("gateway", LimitSpec("tokens", "60s", 10_000))
    decisions = await asyncio.gather(
        *(
            dice.choice(replicas).reserve(f"r{number}", caller, output_tokens=10, prompt_tokens=10)
            for number in range(CALLS)
        )
    )
    assert 500 == sum(isinstance(each, Grant) for each in decisions)
    assert {("tokens", "60s"): 10_000} == await replicas[1].uses("gateway")
    replicas[0].clock.advance(60)
    sizes = [dice.randint(10, 100) for _ in range(CALLS // 2)]
    decisions = await asyncio.gather(
        *(
            dice.choice(replicas).reserve(f"s{number}", caller, output_tokens=0, prompt_tokens=size)
            for number, size in enumerate(sizes)
        )
    )
    held = sum(size for size, each in zip(sizes, decisions, strict=True) if isinstance(each, Grant))
    refused = [size for size, each in zip(sizes, decisions, strict=True) if isinstance(each, Denial)]
    assert {("tokens", "60s"): held} == await replicas[1].uses("gateway")
    assert 10_000 - min(refused) < held <= 10_000


@pytest.mark.parametrize("seed", SEEDS)
async def test_parallel_calls(replicas: list[LedgerSubject], postgres_dsn: str, seed: int) -> None:
    """Never more than the limit at a time, always as many as it allows while enough wait."""
    dice = random.Random(seed)
    caller = await replicas[0].add_key(user_id="u")
    await replicas[0].limit("user:u", LimitSpec("parallel", "", 50))
    under_way = highest = admitted = 0

    async def call(number: int) -> None:
        nonlocal under_way, highest, admitted
        for attempt in range(4):
            name = f"r{number}-{attempt}"
            decision = await dice.choice(replicas).reserve(name, caller)
            if isinstance(decision, Denial):
                continue
            admitted += 1
            under_way += 1
            highest = max(highest, under_way)
            await asyncio.sleep(0)
            under_way -= 1  # before it is told: the slot may be given to another at once
            if number % 2:
                await dice.choice(replicas).settle(name)
            else:
                await dice.choice(replicas).void(name)
            return

    first = await asyncio.gather(
        *(dice.choice(replicas).reserve(f"first{number}", caller) for number in range(CALLS // 4))
    )
    assert 50 == sum(isinstance(each, Grant) for each in first)
    granted = [f"first{number}" for number, each in enumerate(first) if isinstance(each, Grant)]
    await asyncio.gather(*(dice.choice(replicas).settle(name) for name in granted))
    await asyncio.gather(*(call(number) for number in range(CALLS // 4)))

    assert highest <= 50
    assert admitted >= 50
    assert {("parallel", ""): 0} == await replicas[2].uses("user:u")
    assert (await books(postgres_dsn)).balanced
