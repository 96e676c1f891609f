"""Many callers, several replicas, one real PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from meshgate_ledger.group_commit import GroupLimits
from meshgate_ledger.postgres_store import StoreOptions
from meshgate_ledger.records import Denial, Grant, Principal
from tests.unit.ledger.subject import MASTER, LedgerSubject, books, key_hash, open_ledger

CAP = 10_000


@pytest.fixture
async def replicas(postgres_dsn: str) -> AsyncIterator[list[LedgerSubject]]:
    """Three replicas with a pool each; one sends its items alone, two in batches."""
    async with AsyncExitStack() as stack:
        limits = (GroupLimits(), GroupLimits(items_max=8), GroupLimits(items_max=1, batches_max=4))
        yield [
            await stack.enter_async_context(open_ledger(postgres_dsn, store_options=StoreOptions(each)))
            for each in limits
        ]


@pytest.mark.parametrize("seed", range(3))
async def test_concurrent_holds_never_exceed_the_cap(
    replicas: list[LedgerSubject], postgres_dsn: str, seed: int
) -> None:
    """200 at once, of random size, from three replicas; and nearly all of the cap can be used."""
    dice = random.Random(seed)
    caller = await replicas[0].add_key(budget=CAP)
    sizes = [dice.randint(1, 200) for _ in range(200)]
    decisions = await asyncio.gather(
        *(
            dice.choice(replicas).reserve(f"r{number}", caller, output_tokens=0, prompt_tokens=size)
            for number, size in enumerate(sizes)
        )
    )
    held = sum(decision.held_nanos for decision in decisions if isinstance(decision, Grant))
    smallest_denied = min(
        size for size, decision in zip(sizes, decisions, strict=True) if isinstance(decision, Denial)
    )

    assert (0, held) == await replicas[1].money()
    assert CAP - 200 <= held <= CAP
    assert held + smallest_denied > CAP - 200
    assert (await books(postgres_dsn)).balanced


async def test_calls_on_a_capped_key(replicas: list[LedgerSubject], postgres_dsn: str) -> None:
    """Reserved, settled for less, settled elsewhere, voided, repeated: posted plus held stays below the cap
    at every moment, and in the end all of it is posted."""
    dice = random.Random(7)
    caller = await replicas[0].add_key(budget=CAP)
    highest = 0

    async def call(number: int) -> int:
        nonlocal highest
        replica, other = dice.sample(replicas, 2)
        decision = await replica.reserve(f"r{number}", caller)
        posted, held = await other.money()
        highest = max(highest, posted + held)
        if isinstance(decision, Denial):
            return 0
        if number % 5 == 0:
            await asyncio.gather(other.void(f"r{number}"), replica.void(f"r{number}"))
            return 0
        first, second = await asyncio.gather(
            *(each.settle(f"r{number}", completion=number % 10) for each in (replica, other))
        )
        assert first == second
        return first.cost.total

    charged = sum(await asyncio.gather(*(call(number) for number in range(200))))

    assert (charged, 0) == await replicas[0].money()
    assert highest <= CAP
    assert charged > 0
    assert (await books(postgres_dsn)).balanced


async def test_mixed_accounts_do_not_deadlock(replicas: list[LedgerSubject], postgres_dsn: str) -> None:
    """Batches of many accounts in random order, with keys being made and deleted and holds expiring."""
    dice = random.Random(11)
    callers: list[Principal] = [await replicas[0].add_key(number, budget=10**6) for number in range(1, 9)]
    callers.append(MASTER)

    async def call(number: int) -> None:
        replica = dice.choice(replicas)
        decision = await replica.reserve(f"r{number}", dice.choice(callers), hold_duration_s=1.0)
        if isinstance(decision, Grant) and number % 3:
            await dice.choice(replicas).settle(f"r{number}")

    async def disturb(number: int) -> None:
        await replicas[0].keys.delete(f"d{number}", [key_hash(number), key_hash(number + 1)], [], 20.0)
        await replicas[1].add_key(number + 1)

    await asyncio.gather(*(call(number) for number in range(300)), *(disturb(number) for number in (1, 3, 5)))
    for replica in replicas:
        replica.clock.advance(2)
    charged = await asyncio.gather(*(replica.sweeper.sweep() for replica in replicas))
    result = await books(postgres_dsn)

    assert sum(charged) > 0
    assert 0 == result.open_hold_count
    assert result.balanced


async def test_waiting_reservations_share_a_round_trip(postgres_dsn: str) -> None:
    """That is what group commit is; a single one goes alone and at once."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key()
        await subject.reserve("warm", caller)
        await asyncio.gather(*(subject.reserve(f"r{number}", caller) for number in range(100)))

        batches = subject.registry.get_sample_value("meshgate_ledger_reserve_batch_items_count")
        items = subject.registry.get_sample_value("meshgate_ledger_reserve_batch_items_sum")
        assert items is not None
        assert batches is not None
        assert 101 == items
        assert batches <= 6
