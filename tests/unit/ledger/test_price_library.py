"""Public prices as integers, compared with what the library itself says."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ModelPrice

from meshgate_ledger import price_library
from meshgate_ledger.price import Rates, TokenCounts, cost_of
from meshgate_ledger.price_library import PROVIDERS, PriceLibrary, price_from_library

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIBRARY = PriceLibrary()
NANOS_PER_USD = 1_000_000_000
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini-2.5-pro"),
    ("vertex_ai", "gemini-2.5-flash"),
    ("groq", "llama-3.3-70b-versatile"),
    ("mistral", "mistral-small-latest"),
    ("deepseek", "deepseek-chat"),
    ("xai", "grok-3"),
]
USAGES = [
    TokenCounts(1_000, 100),
    TokenCounts(1_000, 100, cached=400),
    TokenCounts(250_000, 1_000),
    TokenCounts(1, 1),
]


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize("tokens", USAGES, ids=str)
def test_costs_are_the_librarys(provider: str, model: str, tokens: TokenCounts) -> None:
    """To the nano-USD, tiers and cached tokens included."""
    price = LIBRARY.price(provider, model, NOW)
    assert price is not None
    usage = Usage(
        input_tokens=tokens.prompt, output_tokens=tokens.completion, cache_read_tokens=tokens.cached
    )
    expected = calc_price(
        usage,
        model,
        provider_id=PROVIDERS.get(provider, provider),
        genai_request_timestamp=NOW,
    ).total_price

    assert expected * NANOS_PER_USD == pytest.approx(Decimal(cost_of(price, tokens).total), abs=2)


def test_the_cache_has_prices_of_its_own() -> None:
    """claude-sonnet-4-5: 3 and 15 USD per million tokens, 0.30 to read, 3.75 to write; dearer above 200k."""
    price = LIBRARY.price("anthropic", "claude-sonnet-4-5", NOW)
    assert price is not None

    assert Rates(3_000_000_000, 15_000_000_000, 300_000_000, 3_750_000_000) == price.rates
    assert [200_000] == [tier.prompt_tokens_above for tier in price.tiers]
    assert price.source.startswith("genai-prices 0.")


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-9000"), ("my-openai-proxy", "gpt-4o"), ("", "gpt-4o"), ("openai", "")],
)
def test_what_nobody_knows_is_unknown(provider: str, model: str) -> None:
    """Never zero, and never another provider whose name only looks alike."""
    assert LIBRARY.price(provider, model, NOW) is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose model names; and forgetting one changes no price."""
    monkeypatch.setattr(price_library, "MODELS_REMEMBERED_MAX", 3)
    library = PriceLibrary()
    for number in range(10):
        library.price("openai", f"no-such-{number}", NOW)

    assert len(library._models) <= 3
    assert LIBRARY.price("openai", "gpt-4o", NOW) == library.price("openai", "gpt-4o", NOW)


def test_a_price_may_depend_on_the_time() -> None:
    """Of the call, not of the start of the service."""
    conditional = next(
        (provider.id, model.id)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, list)
        and model.prices[0].prices != model.prices[-1].prices
        and model.get_prices(datetime(2024, 1, 1, tzinfo=UTC)) != model.get_prices(NOW)
        and LIBRARY.price(provider.id, model.id, NOW)
    )

    before = LIBRARY.price(*conditional, datetime(2024, 1, 1, tzinfo=UTC))
    assert before != LIBRARY.price(*conditional, NOW)
    assert before == LIBRARY.price(*conditional, datetime(2024, 1, 1, tzinfo=UTC))


def test_every_model_of_the_library_can_be_read() -> None:
    """No price is negative, none is lost by the conversion."""
    for provider in providers:
        for model in provider.models:
            price = price_from_library(model.get_prices(NOW), "test")
            if price is not None:
                assert min(price.rates.input, price.rates.output) >= 0


def test_without_a_price_for_input_the_price_is_unknown() -> None:
    """A model that is paid by the page or by the hour is not a free one."""
    assert price_from_library(ModelPrice(output_mtok=Decimal(1)), "test") is None
    embedding = price_from_library(ModelPrice(input_mtok=Decimal("0.02")), "test")
    assert embedding is not None
    assert Rates(20_000_000, 0) == embedding.rates
