"""What a call would cost, before anybody makes it. Pure."""

from datetime import datetime
from typing import Final

from meshgate_ledger.price import TokenCounts, cost_of
from meshgate_ledger.price_book import PriceBook

# Who makes models, by LiteLLM's names: where a name without a provider is looked for.
MAKERS: Final = ("openai", "anthropic", "gemini", "mistral", "deepseek", "xai", "cohere")


def price_call(prices: PriceBook, model: str, provider: str, tokens: TokenCounts, at: datetime) -> int | None:
    """In nano-USD, of several possible prices the dearest; None: no price is known.

    `model` is a public name, or a provider's own: with its provider before a slash or in `provider`, else of
    the first of MAKERS that has one of this name.
    """
    known = prices.of_model(model, at).prices
    if not known:
        head, slash, rest = model.partition("/")
        if provider:
            named = [(provider, model)]
        else:
            named = [(head, rest)] if slash else [(maker, model) for maker in MAKERS]
        found = (prices.of_call("", owner, name, at) for owner, name in named)
        first = next((price for price in found if price is not None), None)
        known = () if first is None else (first,)
    return max((cost_of(price, tokens).total for price in known), default=None)
