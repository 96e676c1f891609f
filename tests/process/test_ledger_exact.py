"""Limits are exact over four ledger processes and a thousand concurrent calls (bench/ledger/exactness.py)."""

from collections.abc import Iterator

import pytest

from bench.ledger.exactness import LIMIT_METRICS, budget_run, cluster, limit_run
from bench.ledger.store import Stage, ledgers, stage

REPLICAS = ["replica-1", "replica-2", "replica-3", "replica-4"]
SEEDS = 2  # make bench-ledger: 50


@pytest.fixture(scope="module")
def place() -> Iterator[Stage]:
    """PostgreSQL and four ledgers."""
    with stage(durable=False) as place, ledgers(place, REPLICAS[:1]):
        with ledgers(place, REPLICAS[1:]):
            yield place


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_hard_budget_is_neither_exceeded_nor_wasted(place: Stage, seed: int) -> None:
    """Settled is never more than the cap, and 98 % of it is in use before anybody is refused."""
    async with cluster(place, REPLICAS) as on:
        run = await budget_run(on, seed, 1_000 + 10 * seed)
    assert run.balanced
    assert run.settled <= run.cap
    assert run.refused > 0
    assert run.committed >= 0.98 * run.cap
    assert run.committed <= run.cap
    assert run.settled >= 0.98 * run.cap


@pytest.mark.parametrize("metric", LIMIT_METRICS)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_admitted_is_what_the_limit_allows(place: Stage, seed: int, metric: str) -> None:
    """To the request, to the call under way; of tokens, nothing that was refused would have fitted."""
    number = 1_001 + 10 * seed + LIMIT_METRICS.index(metric)
    async with cluster(place, REPLICAS) as on:
        run = await limit_run(on, seed, number, metric)
    assert run.exact, run
