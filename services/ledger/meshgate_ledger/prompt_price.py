"""What a prompt's tokens will cost: fresh ones, and those that a provider has in its prompt cache. Pure."""

from fractions import Fraction

from meshgate_ledger.price import Rates
from meshgate_ledger.price_book import ModelPrices


def prompt_rates(prices: ModelPrices, prompt_tokens: int) -> Rates | None:
    """The rates of one deployment of the model, None when no price is known.

    Of several, those whose cached tokens are cheapest beside the fresh ones: whoever would change a prompt
    that a provider has cached has most to lose there.
    """
    if len(prices.prices) == 1:
        return prices.prices[0].rates_for(prompt_tokens)
    rates = [price.rates_for(prompt_tokens) for price in prices.prices]
    return min(rates, key=_cached_share, default=None)


def _cached_share(rates: Rates) -> Fraction:
    if rates.cache_read is None or rates.input == 0:
        return Fraction(1)
    return Fraction(rates.cache_read, rates.input)
