"""What tokens cost, to the nano-USD."""

from fractions import Fraction

import pytest

from meshgate_ledger.price import (
    Cost,
    Price,
    PriceTier,
    Rates,
    TokenCounts,
    component_nanos,
    consistent,
    cost_of,
    highest_cost,
)
from meshgate_ledger.records import usd


@pytest.mark.parametrize(
    ("tokens", "rate", "nanos"),
    [
        (1, 2_500_000_000, 2_500),
        (1_000_000, 2_500_000_000, 2_500_000_000),
        (1, 500_000, 0),  # half: to even
        (3, 500_000, 2),
        (5, 500_000, 2),
        (7, 500_000, 4),
        (1, 500_001, 1),
        (1, 499_999, 0),
        (0, 10**12, 0),
        (10**9, 10**12, 10**15),
    ],
)
def test_the_one_rounding(tokens: int, rate: int, nanos: int) -> None:
    """Half to even, and exact for every whole price per token."""
    assert nanos == component_nanos(tokens, rate)
    assert nanos == round(Fraction(tokens * rate, 1_000_000))


def test_each_kind_of_token_has_its_own_price() -> None:
    """And is counted once."""
    price = Price(Rates(3_000_000, 15_000_000, 300_000, 3_750_000, 20_000_000), "test")
    cost = cost_of(
        price, TokenCounts(prompt=1_000, completion=100, cached=600, cache_creation=100, reasoning=40)
    )

    assert Cost(input=900, cached_input=180, cache_creation=375, output=900, reasoning=800) == cost
    assert 3_155 == cost.total


def test_tokens_without_a_price_of_their_own_cost_the_plain_one() -> None:
    """Never nothing."""
    price = Price(Rates(3_000_000, 15_000_000), "test")
    cost = cost_of(
        price, TokenCounts(prompt=1_000, completion=100, cached=600, cache_creation=100, reasoning=40)
    )

    assert Cost(input=900, cached_input=1_800, cache_creation=300, output=1_500, reasoning=0) == cost


def test_a_price_of_zero_is_a_price() -> None:
    """Cached tokens that are free are free."""
    price = Price(Rates(3_000_000, 15_000_000, cache_read=0), "test")

    assert 0 == cost_of(price, TokenCounts(prompt=10, cached=10)).total


def test_a_price_for_the_request_itself() -> None:
    """Is part of the input."""
    price = Price(Rates(1_000_000, 1_000_000, request_nanos=12_000), "test")

    assert 12_003 == cost_of(price, TokenCounts(prompt=3)).input
    assert 12_003 == highest_cost(price, 3, 0).input


def test_a_tier_prices_the_whole_call() -> None:
    """From the first token above its limit."""
    price = Price(Rates(1_000_000, 1_000_000), "test", (PriceTier(100, Rates(2_000_000, 3_000_000)),))

    assert (100, 1) == _parts(cost_of(price, TokenCounts(100, 1)))
    assert (202, 3) == _parts(cost_of(price, TokenCounts(101, 1)))
    assert (202, 3) == _parts(highest_cost(price, 101, 1))


def test_a_provider_that_miscounts_is_not_billed_twice() -> None:
    """Subsets that are larger than their totals are cut to them."""
    assert TokenCounts(10, 5, 10, 0, 5) == consistent(TokenCounts(10, 5, 12, 3, 6))
    assert TokenCounts(10, 5, 8, 2, 5) == consistent(TokenCounts(10, 5, 8, 3, 5))


def test_a_hold_at_usual_prices_is_exact() -> None:
    """No margin for rounding where nothing is rounded."""
    price = Price(Rates(2_500_000_000, 10_000_000_000), "test")

    assert Cost(input=250_000, output=1_000_000) == highest_cost(price, 100, 100)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0.0"), (250_000, "0.00025"), (1_000_000_000, "1.0"), (-1_500_000_000, "-1.5"), (1, "0.000000001")],
)
def test_money_for_people(nanos: int, text: str) -> None:
    """Exact, however small."""
    assert text == usd(nanos)


def _parts(cost: Cost) -> tuple[int, int]:
    return cost.input, cost.output
