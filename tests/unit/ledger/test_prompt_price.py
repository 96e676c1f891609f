"""What a grant says about the price of the prompt's tokens."""

import pytest

from meshgate_ledger.price import Price, PriceTier, Rates
from meshgate_ledger.price_book import ModelPrices
from meshgate_ledger.prompt_price import prompt_rates

PLAIN = Rates(input=100, output=1)
HALF = Rates(input=100, output=1, cache_read=50)
TENTH = Rates(input=1_000, output=1, cache_read=100)
FREE = Rates(input=0, output=0)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((), None), ((PLAIN,), PLAIN), ((PLAIN, HALF, TENTH), TENTH), ((FREE, HALF), HALF), ((FREE,), FREE)],
)
def test_of_several_the_one_with_the_cheapest_cache(rates: tuple[Rates, ...], expected: Rates | None) -> None:
    """Beside its fresh tokens, not in absolute money; no deployment with a price is None."""
    prices = ModelPrices(tuple(Price(each, "test") for each in rates), complete=True)

    assert expected == prompt_rates(prices, 10)


def test_the_prompts_size_decides_the_tier() -> None:
    """As it does for the bill."""
    price = Price(PLAIN, "test", (PriceTier(200, TENTH),))

    assert (PLAIN, TENTH) == tuple(prompt_rates(ModelPrices((price,), True), size) for size in (200, 201))
