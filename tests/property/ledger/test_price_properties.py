"""What holds for any price and any usage."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from meshgate_ledger.price import (
    MTOK,
    TIER_MARGIN,
    Price,
    PriceTier,
    Rates,
    TokenCounts,
    component_nanos,
    consistent,
    cost_of,
    highest_cost,
)

RATE = st.one_of(st.integers(0, 10**12), st.integers(0, 10**6).map(lambda nanos: nanos * MTOK))
RATES = st.builds(
    Rates,
    input=RATE,
    output=RATE,
    cache_read=st.none() | RATE,
    cache_creation=st.none() | RATE,
    reasoning=st.none() | RATE,
    request_nanos=st.integers(0, 10**9),
    audio_input=st.none() | RATE,
    audio_output=st.none() | RATE,
)
PRICES = st.builds(
    Price,
    rates=RATES,
    source=st.just("test"),
    tiers=st.lists(st.builds(PriceTier, st.integers(0, 10**6), RATES), max_size=2).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.prompt_tokens_above))
    ),
)
COUNT = st.integers(0, 10**7)
TOKENS = st.builds(TokenCounts, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT)


@given(tokens=COUNT, rate=RATE)
def test_the_rounding_is_half_to_even(tokens: int, rate: int) -> None:
    """As exact arithmetic has it."""
    assert round(Fraction(tokens * rate, MTOK)) == component_nanos(tokens, rate)


@given(tokens=TOKENS)
def test_consistent_counts_add_up(tokens: TokenCounts) -> None:
    """Subsets fit into their totals, totals are kept, and doing it again changes nothing."""
    whole = consistent(tokens)

    assert (tokens.prompt, tokens.completion) == (whole.prompt, whole.completion)
    assert whole.cached + whole.cache_creation + whole.audio_prompt <= whole.prompt
    assert whole.reasoning + whole.audio_completion <= whole.completion
    assert whole == consistent(whole)


@given(price=PRICES, tokens=TOKENS)
def test_a_hold_is_never_less_than_the_cost(price: Price, tokens: TokenCounts) -> None:
    """However the tokens turn out to be cached or thought: so a granted call cannot break its budget."""
    whole = consistent(tokens)

    assert cost_of(price, whole).total <= highest_cost(price, whole.prompt, whole.completion).total


@given(price=PRICES, tokens=TOKENS, more=COUNT)
def test_a_prompt_that_was_counted_too_low_still_fits_its_tier(
    price: Price, tokens: TokenCounts, more: int
) -> None:
    """The hold was made by what the edge counted. A provider that counts an eighth more may charge by the
    next tier, and the hold has its rates."""
    counted = consistent(tokens).prompt
    charged = price.rates_for(counted + min(more, counted // TIER_MARGIN))
    between = charged not in price.rates_near(counted)  # a tier narrower than what is uncertain

    assert between or highest_cost(price, counted, 0).total >= component_nanos(counted, charged.input)


@given(price=PRICES, tokens=TOKENS, fewer=st.integers(0, 100))
def test_a_shorter_answer_never_needs_more_than_was_held(
    price: Price, tokens: TokenCounts, fewer: int
) -> None:
    """The output that came is at most the output that was held."""
    whole = consistent(tokens)
    shorter = consistent(
        TokenCounts(
            whole.prompt,
            max(0, whole.completion - fewer),
            whole.cached,
            whole.cache_creation,
            whole.reasoning,
            whole.audio_prompt,
            whole.audio_completion,
        )
    )

    assert cost_of(price, shorter).total <= highest_cost(price, whole.prompt, whole.completion).total
