"""What a call would cost, before anybody makes it. Pure."""

from datetime import datetime

from meshgate_ledger.price import TokenCounts, cost_of
from meshgate_ledger.price_book import PriceBook


def price_call(prices: PriceBook, model: str, provider: str, tokens: TokenCounts, at: datetime) -> int | None:
    """In nano-USD, of several possible prices the dearest; None: no price is known.

    `model` is a public name, or a provider's own with its provider before a slash or in `provider`.
    """
    known = prices.of_model(model, at).prices
    if not known:
        head, slash, rest = model.partition("/")
        owner, name = (provider, model) if provider or not slash else (head, rest)
        price = prices.of_call("", owner, name, at)
        known = () if price is None else (price,)
    return max((cost_of(price, tokens).total for price in known), default=None)
