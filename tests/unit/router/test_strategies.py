"""Strategies as pure functions: whom they ask first, and whom next."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from meshgate_chassis.config.model import DeploymentPrice, RouterConfig
from meshgate_router.eligibility import by_order, permitted, tagged, wide_enough
from meshgate_router.journey import RouteTask
from meshgate_router.prices import Prices, price_library
from meshgate_router.strategies.budget import payable_first
from meshgate_router.strategies.candidate import Candidate
from meshgate_router.strategies.registry import needs_prices, strategy_of
from tests.unit.router.support import deployment

DRAWS = 400


def candidate(name: str, members: dict[str, Any] | None = None, **values: Any) -> Candidate:
    return Candidate(deployment("a", id=name, **members or {}), **values)


def order(strategy: str, candidates: list[Candidate], config: RouterConfig | None = None) -> list[str]:
    ranked = strategy_of(strategy, config or RouterConfig())(candidates, Random(3))
    return [each.deployment.id for each in ranked]


def test_least_busy() -> None:
    """The fewest calls under way first."""
    found = order("least-busy", [candidate("x", in_flight=3), candidate("y"), candidate("z", in_flight=1)])
    assert ["y", "z", "x"] == found


def test_latency() -> None:
    """The unknown first, to get to know them; then the fastest."""
    known = [candidate("slow", latency_s=2.0), candidate("fast", latency_s=0.5)]
    assert ["fast", "slow"] == order("latency-based-routing", known)
    assert ["new", "fast", "slow"] == order("latency-based-routing", [*known, candidate("new")])


def test_latencies_within_the_buffer_are_equal() -> None:
    """So that the best one is not the only one."""
    config = RouterConfig(latency_buffer=0.5)
    rank, random = strategy_of("latency-based-routing", config), Random(5)
    near = [candidate("x", latency_s=1.0), candidate("y", latency_s=1.4), candidate("far", latency_s=1.6)]
    first = Counter(rank(near, random)[0].deployment.id for _ in range(DRAWS))

    assert {"x", "y"} == set(first)
    assert first["x"] == pytest.approx(DRAWS / 2, rel=0.25)


def test_cost() -> None:
    """The cheapest first; who has no price last."""
    found = [candidate("?"), candidate("dear", cost_nanos=9), candidate("cheap", cost_nanos=1)]
    assert ["cheap", "dear", "?"] == order("cost-based-routing", found)
    assert ["cheap", "dear", "?"] == order("budget-aware-routing", found)


def test_usage() -> None:
    """Of equal limits the least used; of different ones the least share."""
    plain = [candidate("x", minute_tokens=10), candidate("y", minute_tokens=5, minute_requests=9)]
    assert ["y", "x"] == order("usage-based-routing-v2", plain)

    limited = [
        candidate("small", {"tpm": 100, "rpm": 10}, minute_tokens=40),
        candidate("large", {"tpm": 1_000}, minute_tokens=200),
        candidate("busy", {"rpm": 10}, minute_requests=5),
    ]
    assert ["large", "small", "busy"] == order("usage-based-routing", limited)


def test_shuffle_ranks_all_of_them() -> None:
    """Who has no weight comes last, but comes."""
    found = [candidate("none"), candidate("w", {"weight": 1.0}), candidate("v", {"weight": 2.0})]
    ranked = order("simple-shuffle", found)

    assert {"w", "v"} == set(ranked[:2])
    assert "none" == ranked[2]


def test_a_budget_moves_what_it_cannot_pay_back() -> None:
    """In the order of the strategy otherwise; nobody is left out."""
    found = [candidate("dear", cost_nanos=9), candidate("?"), candidate("cheap", cost_nanos=3)]
    assert ["?", "cheap", "dear"] == [each.deployment.id for each in payable_first(found, 5)]
    assert found == list(payable_first(found, None))


@pytest.mark.parametrize(
    ("tags", "match_any", "expected"),
    [
        ((), True, ["d"]),
        (("free",), True, ["f", "fp"]),
        (("free", "paid"), True, ["f", "fp"]),
        (("free", "paid"), False, ["fp"]),
        (("other",), True, ["d"]),
    ],
)
def test_tags(tags: tuple[str, ...], match_any: bool, expected: list[str]) -> None:
    """One in common or all of them; `default` for the rest."""
    group = [
        deployment("a", id="f", tags=("free",)),
        deployment("a", id="fp", tags=("free", "paid")),
        deployment("a", id="d", tags=("default",)),
        deployment("a", id="none"),
    ]
    assert expected == [each.id for each in tagged(group, tags, match_any=match_any)]


def test_without_default_nothing_is_default() -> None:
    """All are eligible without tags, none with a tag that nobody has."""
    group = [deployment("a", id="f", tags=("free",)), deployment("a", id="none")]
    assert 2 == len(tagged(group, (), match_any=True))
    assert 0 == len(tagged(group, ("x",), match_any=True))


def test_blocked_and_narrow_and_ordered() -> None:
    """Blocked ones are never asked, narrow ones not for long prompts, later ones later."""
    task = RouteTask("a", 1.0, stream=False, prompt_tokens=100)
    group = [
        deployment("a", id="blocked", blocked=True),
        deployment("a", id="narrow", max_input_tokens=99),
        deployment("a", id="wide", max_input_tokens=100, order=2),
        deployment("a", id="first", order=1),
    ]
    left = wide_enough(permitted(group, task, RouterConfig()), task)

    assert ["wide", "first"] == [each.id for each in left]
    assert [["first"], ["wide"]] == [[each.id for each in tier] for tier in by_order(left)]
    assert [["first"], ["wide"], ["narrow"]] == [[each.id for each in tier] for tier in by_order(group[1:])]


def test_prices_of_the_configuration_and_of_the_library() -> None:
    """The configuration's first; without either nobody knows."""
    prices = Prices(price_library())
    own = deployment("a", price=DeploymentPrice(2_000_000_000, 6_000_000_000))

    assert 2_000_000 + 3_000_000 == prices.cost_nanos(own, 1_000, 500)
    assert 150_000 + 300_000 == prices.cost_nanos(deployment("a", upstream_model="gpt-4o-mini"), 1_000, 500)
    assert None is prices.cost_nanos(deployment("a", upstream_model="no-such-model"), 1, 1)
    assert None is Prices().cost_nanos(deployment("a", upstream_model="gpt-4o-mini"), 1, 1)


def test_the_library_is_loaded_where_it_is_needed() -> None:
    """By the router's strategy or by that of a group."""
    assert not needs_prices(RouterConfig())
    assert needs_prices(RouterConfig(routing_strategy="cost-based-routing"))
    assert needs_prices(RouterConfig(group_strategies={"g": "budget-aware-routing"}))
