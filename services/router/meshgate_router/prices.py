"""What a request would cost at a deployment, for choosing only: what is charged is the ledger's to say.

The configuration's price, else that of the price library, which is loaded only where a strategy needs it
(32 MB, 0.3 s). Tiers and cached tokens make no difference here.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from meshgate_chassis.config.model import Deployment

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import TieredPrices

TOKENS_PER_MTOK: Final = 1_000_000
NANOS_PER_USD: Final = 1_000_000_000
REMEMBERED_MAX: Final = 10_000
# LiteLLM's names of providers -> the library's, where they differ.
LIBRARY_NAMES: Final[Mapping[str, str]] = {
    "azure_ai": "azure",
    "bedrock": "aws",
    "gemini": "google",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}

PerMtok = tuple[int, int]  # nano-USD per million tokens: input, output


class Prices:
    """`library`: None: the configuration's prices alone."""

    def __init__(self, library: "DataSnapshot | None" = None) -> None:
        self._library = library
        self._known: dict[tuple[str, str], PerMtok | None] = {}

    def cost_nanos(self, deployment: Deployment, prompt_tokens: int, output_tokens: int) -> int | None:
        """In nano-USD; None: nobody knows the price."""
        price = deployment.price
        if price is not None:
            per_mtok = (price.input_nanos_per_mtok, price.output_nanos_per_mtok)
        else:
            found = self._found(deployment.provider, deployment.upstream_model)
            if found is None:
                return None
            per_mtok = found
        return (per_mtok[0] * prompt_tokens + per_mtok[1] * output_tokens) // TOKENS_PER_MTOK

    def _found(self, provider: str, model: str) -> PerMtok | None:
        if self._library is None:
            return None
        key = (provider, model)
        if key not in self._known:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[key] = _look_up(self._library, LIBRARY_NAMES.get(provider, provider), model)
        return self._known[key]


def price_library() -> "DataSnapshot":
    """The library's data."""
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _look_up(library: "DataSnapshot", provider: str, model: str) -> PerMtok | None:
    if provider not in {each.id for each in library.providers}:
        return None
    try:
        info = library.find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return None
    prices = info.prices if not isinstance(info.prices, list) else info.prices[-1].prices
    if prices.input_mtok is None:
        return None
    return _nanos(prices.input_mtok), _nanos(prices.output_mtok or Decimal(0))


def _nanos(usd: "Decimal | TieredPrices") -> int:
    base = usd if isinstance(usd, Decimal) else usd.base
    return int(base * NANOS_PER_USD)
