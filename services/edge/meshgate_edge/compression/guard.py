"""Does it pay to compress this prompt? Pure arithmetic; docs/compression.md has it in words.

A provider bills what it has in its prompt cache at a fraction of the price, and has it only as long as its
bytes stay the same. So a shorter prompt can cost more than the longer one it replaces:

    bill(n, k) = input x (n - hit) + cached x hit        hit = k if k >= CACHEABLE_TOKENS_MIN else 0
    cost(v)    = bill(v.tokens, v.cached) + repeats x bill(v.again, v.again_cached)
    saving     = cost(as given) - cost(compressed)       compress only when it is > 0
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_edge.compression.prompt_memory import Outlook

# The shortest prefix that OpenAI and most others cache. Some models ask for 2,048 or 4,096: there the guard
# can be wrong about a conversation whose compressed prompt is between the two.
CACHEABLE_TOKENS_MIN: Final = 1_024


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Per token, in any unit: nano-USD for a million tokens, or shares when no price is known."""

    input: int
    cached: int  # of a token that is read from the provider's prompt cache; = input where that is no cheaper


# Of a model without a price, or that is free of charge: work counts then. Nobody gives a higher discount.
UNPRICED: Final = TokenPrices(input=10, cached=1)


@dataclass(frozen=True, slots=True)
class Variant:
    """A prompt as it would be sent: its tokens, and how many of the first ones the provider has cached.

    `again`, `again_cached`: the same of that part of it that comes again in a later call.
    """

    tokens: int
    cached: int
    again: int
    again_cached: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens of each message as given and compressed; `fixed`: of what goes before them, the tools."""

    given: Sequence[int]
    compressed: Sequence[int]
    fixed: int = 0


def saving(measured: Measured, outlook: Outlook, prices: TokenPrices) -> int:
    """What compressing is expected to save, in the unit of the prices x tokens; negative: to lose."""
    given, compressed = variants(measured, outlook)
    return _cost(given, outlook.repeats, prices) - _cost(compressed, outlook.repeats, prices)


def variants(measured: Measured, outlook: Outlook) -> tuple[Variant, Variant]:
    """The prompt as given and compressed."""

    def first(tokens: Sequence[int], count: int) -> int:
        return measured.fixed + sum(tokens[:count]) if count else 0

    whole = len(measured.given)
    n_given, n_compressed = first(measured.given, whole), first(measured.compressed, whole)
    untouched = min(outlook.cached_given, outlook.first_touched)
    cached_given = first(measured.given, outlook.cached_given)
    cached_compressed = first(measured.compressed, max(outlook.cached_compressed, untouched))
    if outlook.shared == 0:  # this conversation goes on: all of it comes again
        return (
            Variant(n_given, cached_given, n_given, n_given),
            Variant(n_compressed, cached_compressed, n_compressed, n_compressed),
        )
    # Others begin like this one, and go on otherwise: compressed for another question it is another text.
    again = first(measured.given, outlook.shared)
    return (
        Variant(n_given, cached_given, again, again),
        Variant(
            n_compressed,
            cached_compressed,
            first(measured.compressed, outlook.shared),
            first(measured.given, min(outlook.first_touched, outlook.shared)),
        ),
    )


def _cost(variant: Variant, repeats: int, prices: TokenPrices) -> int:
    return _bill(variant.tokens, variant.cached, prices) + repeats * _bill(
        variant.again, variant.again_cached, prices
    )


def _bill(tokens: int, cached: int, prices: TokenPrices) -> int:
    hit = cached if cached >= CACHEABLE_TOKENS_MIN else 0
    return prices.input * (tokens - hit) + prices.cached * hit
