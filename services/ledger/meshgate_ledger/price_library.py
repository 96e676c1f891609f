"""Prices of public models from genai-prices: offline data, turned into integers once per model.

Prices in the library depend on the model, and for a few on the time of the call. Whatever it charges for
that is not a token or a request (searches, audio hours, pages) is not part of a chat completion's usage
and not priced here. A model without a price per input token is unknown.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from meshgate_ledger.price import Price, PriceTier, Rates

NANOS_PER_USD = 1_000_000_000
REQUESTS_PER_KCOUNT = 1_000
MODELS_REMEMBERED_MAX = 10_000

# LiteLLM's provider names (the prefix in `model: provider/id`) -> the library's, where they differ.
PROVIDERS = {
    "azure_ai": "azure",
    "bedrock": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "meta_llama": "meta",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}


class PriceLibrary:
    """Looks prices up by LiteLLM's provider name and the provider's own model name."""

    def __init__(self, snapshot: DataSnapshot | None = None, version: str = genai_prices.__version__) -> None:
        self._snapshot = snapshot or get_snapshot()
        self._provider_ids = {provider.id for provider in self._snapshot.providers}
        self._source = f"genai-prices {version}"
        self._models: dict[tuple[str, str], ModelInfo | None] = {}
        self._prices: dict[int, Price | None] = {}  # by identity of the library's own object

    def price(self, provider: str, model: str, at: datetime) -> Price | None:
        """None: the library does not know the model. `at` must have a time zone."""
        info = self._model(provider, model)
        if info is None:
            return None
        rates = info.get_prices(at)
        if id(rates) not in self._prices:
            self._prices[id(rates)] = price_from_library(rates, self._source)
        return self._prices[id(rates)]

    def _model(self, provider: str, model: str) -> ModelInfo | None:
        key = (provider, model)
        if key not in self._models:
            if len(self._models) >= MODELS_REMEMBERED_MAX:
                self._models.clear()
            self._models[key] = self._find(PROVIDERS.get(provider, provider), model)
        return self._models[key]

    def _find(self, provider_id: str, model: str) -> ModelInfo | None:
        if provider_id not in self._provider_ids:  # the library's own match is by substring: too generous
            return None
        try:
            return self._snapshot.find_provider_model(model, None, provider_id, None)[1]
        except LookupError:
            return None


def price_from_library(prices: ModelPrice, source: str) -> Price | None:
    """The library's decimals of USD as integers; None without a price per input token."""
    if prices.input_mtok is None:
        return None
    values = {
        "input": prices.input_mtok,
        "output": prices.output_mtok,
        "cache_read": prices.cache_read_mtok,
        "cache_creation": prices.cache_write_mtok,
        "reasoning": prices.output_reasoning_mtok,
        "audio_input": prices.input_audio_mtok,
        "audio_output": prices.output_audio_mtok,
    }
    starts = {
        tier.start for value in values.values() if isinstance(value, TieredPrices) for tier in value.tiers
    }
    requests = prices.requests_kcount
    request_nanos = 0 if requests is None else _nanos(_at(requests, 0), NANOS_PER_USD // REQUESTS_PER_KCOUNT)
    return Price(
        rates=_rates(values, 0, request_nanos),
        source=source,
        tiers=tuple(PriceTier(start, _rates(values, start + 1, request_nanos)) for start in sorted(starts)),
    )


def _rates(values: dict[str, Any], prompt_tokens: int, request_nanos: int) -> Rates:
    nanos = {
        name: None if value is None else _nanos(_at(value, prompt_tokens), NANOS_PER_USD)
        for name, value in values.items()
    }
    return Rates(
        input=nanos["input"] or 0,
        output=nanos["output"] or 0,
        cache_read=nanos["cache_read"],
        cache_creation=nanos["cache_creation"],
        reasoning=nanos["reasoning"],
        request_nanos=request_nanos,
        audio_input=nanos["audio_input"],
        audio_output=nanos["audio_output"],
    )


def _at(value: Decimal | TieredPrices, prompt_tokens: int) -> Decimal:
    if not isinstance(value, TieredPrices):
        return value
    chosen = value.base
    for tier in value.tiers:
        if prompt_tokens > tier.start:
            chosen = tier.price
    return chosen


def _nanos(usd: Decimal, nanos_per_unit: int) -> int:
    return int((Decimal(usd) * nanos_per_unit).to_integral_value(ROUND_HALF_EVEN))
