"""What tokens cost, in integers of nano-USD. The ledger charges and the edge tells by it: one place rounds.

    cost of a component = tokens x nano-USD per million tokens / 1,000,000, rounded half to even

That is the only rounding: once per priced component, nowhere else. A cost is the sum of its
components, so the parts on an entry add up to what was charged, exactly. No floats.

What is made for every call is a NamedTuple: a frozen dataclass of as many fields takes ten times as long.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

MTOK = 1_000_000
TOKENS_MAX = 1_000_000_000  # of one kind in one call
TIER_MARGIN = 8  # a provider may count a prompt an eighth bigger than it was counted for the hold
COST_NANOS_MAX = 10**15  # of one call: a million USD; bigger is a mistake, and sums must fit 64 bits


class TokenCounts(NamedTuple):
    """Tokens of one call. Subsets are included in their totals."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0  # of prompt: read from the provider's cache
    cache_creation: int = 0  # of prompt: written to the provider's cache
    reasoning: int = 0  # of completion
    audio_prompt: int = 0  # of prompt, neither cached nor written
    audio_completion: int = 0  # of completion, not reasoning


@dataclass(frozen=True)
class Rates:
    """Nano-USD per million tokens. None: the tokens have no price of their own and cost the plain rate."""

    input: int
    output: int
    cache_read: int | None = None
    cache_creation: int | None = None
    reasoning: int | None = None
    request_nanos: int = 0  # for each call, whatever its tokens
    audio_input: int | None = None
    audio_output: int | None = None

    @cached_property
    def highest(self) -> "tuple[int, int, int, int]":
        """The dearest that a prompt token and an output token may be, each with what rounding may add."""
        prompt = _highest(self.input, self.cache_creation, self.cache_read, self.audio_input)
        return *prompt, *_highest(self.output, self.reasoning, self.audio_output)


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

    def rates_near(self, prompt_tokens: int) -> Sequence[Rates]:
        """The rates of a call whose prompt was only counted: a provider that counts a little more may charge
        by the next tier."""
        exact = self.rates_for(prompt_tokens)
        if not self.tiers:
            return (exact,)
        more = self.rates_for(prompt_tokens + prompt_tokens // TIER_MARGIN)
        return (exact,) if more is exact else (exact, more)

    @cached_property
    def as_json(self) -> str:
        """The price as an entry records it."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    def as_json_with_audio(self, prompt_tokens: int, completion_tokens: int) -> str:
        """The same, with the audio tokens that were charged apart."""
        audio = {"prompt": prompt_tokens, "completion": completion_tokens}
        members = asdict(self) | {"audio_tokens": audio}
        return json.dumps(members, separators=(",", ":"), sort_keys=True)


class Cost(NamedTuple):
    """The components of a charge in nano-USD."""

    input: int = 0  # prompt tokens neither read from nor written to a cache, audio, the price of the request
    cached_input: int = 0
    cache_creation: int = 0
    output: int = 0  # with audio, and reasoning tokens that have no price of their own
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.cached_input + self.cache_creation + self.output + self.reasoning


def component_nanos(tokens: int, nanos_per_mtok: int) -> int:
    """The one rounding; see the module."""
    if tokens == 0:  # most components of most calls
        return 0
    assert tokens > 0 and nanos_per_mtok >= 0
    quotient, remainder = divmod(tokens * nanos_per_mtok, MTOK)
    half = MTOK // 2
    rounds_up = remainder > half or (remainder == half and quotient % 2 == 1)
    return quotient + rounds_up


def consistent(tokens: TokenCounts) -> TokenCounts:
    """The counts with subsets cut to their totals: a provider that miscounts must not cost us the entry."""
    if not any(tokens[2:]):  # no subsets
        return tokens
    cached = min(tokens.cached, tokens.prompt)
    cache_creation = min(tokens.cache_creation, tokens.prompt - cached)
    reasoning = min(tokens.reasoning, tokens.completion)
    return TokenCounts(
        prompt=tokens.prompt,
        completion=tokens.completion,
        cached=cached,
        cache_creation=cache_creation,
        reasoning=reasoning,
        audio_prompt=min(tokens.audio_prompt, tokens.prompt - cached - cache_creation),
        audio_completion=min(tokens.audio_completion, tokens.completion - reasoning),
    )


def cost_of(price: Price, tokens: TokenCounts) -> Cost:
    """What a call cost. The counts must be consistent."""
    rates = price.rates_for(tokens.prompt)
    if not any(tokens[2:]):  # no subsets: many calls, and half the work
        plain = component_nanos(tokens.prompt, rates.input) + rates.request_nanos
        return Cost(plain, 0, 0, component_nanos(tokens.completion, rates.output))
    heard = 0 if rates.audio_input is None else tokens.audio_prompt
    spoken = 0 if rates.audio_output is None else tokens.audio_completion
    reasoned = 0 if rates.reasoning is None else tokens.reasoning
    plain = tokens.prompt - tokens.cached - tokens.cache_creation - heard
    return Cost(
        input=component_nanos(plain, rates.input)
        + component_nanos(heard, rates.audio_input or 0)
        + rates.request_nanos,
        cached_input=component_nanos(tokens.cached, _own(rates.cache_read, rates.input)),
        cache_creation=component_nanos(tokens.cache_creation, _own(rates.cache_creation, rates.input)),
        output=component_nanos(tokens.completion - reasoned - spoken, rates.output)
        + component_nanos(spoken, rates.audio_output or 0),
        reasoning=component_nanos(reasoned, rates.reasoning or 0),
    )


def highest_cost(price: Price, prompt_tokens: int, output_tokens: int) -> Cost:
    """An upper bound for a call of at most this size, however its tokens turn out to be cached or thought.

    `output_tokens` are those of all choices together; the prompt is billed once.
    """
    if not price.tiers:
        return _highest_cost(price.rates, prompt_tokens, output_tokens)
    costs = [_highest_cost(rates, prompt_tokens, output_tokens) for rates in price.rates_near(prompt_tokens)]
    return max(costs, key=lambda cost: cost.total)


def _highest_cost(rates: Rates, prompt_tokens: int, output_tokens: int) -> Cost:
    input_rate, input_rounding, output_rate, output_rounding = rates.highest
    return Cost(
        input=component_nanos(prompt_tokens, input_rate) + input_rounding + rates.request_nanos,
        output=component_nanos(output_tokens, output_rate) + output_rounding,
    )


def _highest(*rates: int | None) -> tuple[int, int]:
    """The dearest rate, and what splitting tokens in any way over the rates may cost more by rounding."""
    known = [rate for rate in rates if rate is not None]
    # Up to four parts that are rounded apart may together cost 2 nano-USD more than their rounded whole
    # (4 x 0.5 + 0.5, rounded down); at the usual rates (whole nano-USD per token) nothing is ever rounded.
    return max(known), 2 if any(rate % MTOK for rate in known) else 0


def _own(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate
