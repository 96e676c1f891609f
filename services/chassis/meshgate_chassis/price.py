"""What tokens cost, in integers of nano-USD. The ledger charges and the edge tells by it: one place rounds.

    cost of a component = tokens x nano-USD per million tokens / 1,000,000, rounded half to even

That is the only rounding: once per priced component, nowhere else. A cost is the sum of its
components, so the parts on an entry add up to what was charged, exactly. No floats.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property

MTOK = 1_000_000
TOKENS_MAX = 1_000_000_000  # of one kind in one call
COST_NANOS_MAX = 10**15  # of one call: a million USD; bigger is a mistake, and sums must fit 64 bits


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of one call. Subsets are included in their totals."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0  # of prompt: read from the provider's cache
    cache_creation: int = 0  # of prompt: written to the provider's cache
    reasoning: int = 0  # of completion


@dataclass(frozen=True)
class Rates:
    """Nano-USD per million tokens. None: the tokens have no price of their own and cost the plain rate."""

    input: int
    output: int
    cache_read: int | None = None
    cache_creation: int | None = None
    reasoning: int | None = None
    request_nanos: int = 0  # for each call, whatever its tokens

    @cached_property
    def highest(self) -> "tuple[int, int, int, int]":
        """The dearest that a prompt token and an output token may be, each with what rounding may add."""
        return *_highest(self.input, self.cache_creation, self.cache_read), *_highest(
            self.output, self.reasoning
        )


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Rates of the whole call once its prompt has more than `prompt_tokens_above` tokens."""

    prompt_tokens_above: int
    rates: Rates


@dataclass(frozen=True)
class Price:
    """A model's price. `source` says where it is from and how old it is, for the entry."""

    rates: Rates
    source: str
    tiers: tuple[PriceTier, ...] = ()  # ascending

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates of a call with a prompt of this size."""
        chosen = self.rates
        for tier in self.tiers:
            if prompt_tokens > tier.prompt_tokens_above:
                chosen = tier.rates
        return chosen

    @cached_property
    def as_json(self) -> str:
        """The price as an entry records it."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """The components of a charge in nano-USD."""

    input: int = 0  # prompt tokens neither read from nor written to a cache, and the price of the request
    cached_input: int = 0
    cache_creation: int = 0
    output: int = 0  # with reasoning tokens that have no price of their own
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.cached_input + self.cache_creation + self.output + self.reasoning


def component_nanos(tokens: int, nanos_per_mtok: int) -> int:
    """The one rounding; see the module."""
    assert tokens >= 0 and nanos_per_mtok >= 0
    quotient, remainder = divmod(tokens * nanos_per_mtok, MTOK)
    half = MTOK // 2
    rounds_up = remainder > half or (remainder == half and quotient % 2 == 1)
    return quotient + rounds_up


def consistent(tokens: TokenCounts) -> TokenCounts:
    """The counts with subsets cut to their totals: a provider that miscounts must not cost us the entry."""
    cached = min(tokens.cached, tokens.prompt)
    return TokenCounts(
        prompt=tokens.prompt,
        completion=tokens.completion,
        cached=cached,
        cache_creation=min(tokens.cache_creation, tokens.prompt - cached),
        reasoning=min(tokens.reasoning, tokens.completion),
    )


def cost_of(price: Price, tokens: TokenCounts) -> Cost:
    """What a call cost. The counts must be consistent."""
    rates = price.rates_for(tokens.prompt)
    plain = tokens.prompt - tokens.cached - tokens.cache_creation
    reasons_apart = rates.reasoning is not None
    return Cost(
        input=component_nanos(plain, rates.input) + rates.request_nanos,
        cached_input=component_nanos(tokens.cached, _own(rates.cache_read, rates.input)),
        cache_creation=component_nanos(tokens.cache_creation, _own(rates.cache_creation, rates.input)),
        output=component_nanos(tokens.completion - (tokens.reasoning if reasons_apart else 0), rates.output),
        reasoning=component_nanos(tokens.reasoning, _own(rates.reasoning, 0)),
    )


def highest_cost(price: Price, prompt_tokens: int, output_tokens: int) -> Cost:
    """An upper bound for a call of at most this size, however its tokens turn out to be cached or thought.

    `output_tokens` are those of all choices together; the prompt is billed once.
    """
    rates = price.rates_for(prompt_tokens)
    input_rate, input_rounding, output_rate, output_rounding = rates.highest
    return Cost(
        input=component_nanos(prompt_tokens, input_rate) + input_rounding + rates.request_nanos,
        output=component_nanos(output_tokens, output_rate) + output_rounding,
    )


def _highest(*rates: int | None) -> tuple[int, int]:
    """The dearest rate, and what splitting tokens in any way over the rates may cost more by rounding."""
    known = [rate for rate in rates if rate is not None]
    # Up to three parts that are rounded apart may together cost 2 nano-USD more than their rounded whole;
    # at the usual rates (whole nano-USD per token) nothing is ever rounded.
    return max(known), 2 if any(rate % MTOK for rate in known) else 0


def _own(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate
