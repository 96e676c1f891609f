"""The guard's arithmetic: what compression saves and what it costs, at a provider with a prompt cache."""

import pytest

from meshgate_edge.compression.guard import Measured, TokenPrices, saving
from meshgate_edge.compression.prompt_memory import Outlook

CHEAP_CACHE = TokenPrices(input=10, cached=1)
NO_DISCOUNT = TokenPrices(input=10, cached=10)
LONG, SHORT = 8_000, 100


def halved(*tokens: int, fixed: int = 0) -> Measured:
    return Measured(tokens, [each // 2 for each in tokens], fixed)


def test_fresh_context_pays() -> None:
    """Half of the tokens, fresh now and cached in the next turn: half of the money, twice."""
    assert 10 * 4_000 + 1 * 4_000 == saving(halved(LONG), Outlook(), CHEAP_CACHE)


def test_rewriting_what_is_cached_does_not_pay() -> None:
    """A long stable prefix and a short question: uncompressed it costs a tenth."""
    cached = Outlook(first_touched=0, cached_given=1)
    # As given: 8,000 cached and 100 fresh, then all of it cached. Compressed: all fresh, then cached.
    expected = (8_000 + 1_000 + 8_100) - (10 * 4_050 + 4_050)
    assert expected == saving(halved(LONG, SHORT), cached, CHEAP_CACHE)
    assert expected < 0


def test_without_a_discount_there_is_nothing_to_lose() -> None:
    """The same prompt at a provider that bills cached tokens like fresh ones."""
    assert saving(halved(LONG, SHORT), Outlook(cached_given=1), NO_DISCOUNT) > 0


def test_a_cached_prefix_that_stays_costs_nothing() -> None:
    """Only the fresh context behind it is shortened; the prefix is read from the cache in either case."""
    measured = Measured([LONG, 2_000], [LONG, 1_000])
    outlook = Outlook(first_touched=1, cached_given=1)

    assert 10 * 1_000 + 1 * 1_000 == saving(measured, outlook, CHEAP_CACHE)


def test_what_was_compressed_before_stays_compressed() -> None:
    """The provider has the short prefix: going back would be a miss."""
    outlook = Outlook(first_touched=0, cached_given=0, cached_compressed=1)
    given = 10 * 8_100 + 8_100
    compressed = (4_000 + 10 * 50) + 4_050

    assert given - compressed == saving(halved(LONG, SHORT), outlook, CHEAP_CACHE)


@pytest.mark.parametrize(("repeats", "pays"), [(1, True), (2, False), (9, False)])
def test_a_prompt_that_falls_out_of_the_cache(repeats: int, pays: bool) -> None:
    """1,500 tokens are cached, 750 never are: with many turns to come the longer prompt is cheaper."""
    assert pays == (saving(halved(1_500), Outlook(repeats=repeats), CHEAP_CACHE) > 0)


@pytest.mark.parametrize(("repeats", "pays"), [(1, True), (2, False)])
def test_a_document_that_many_ask_about(repeats: int, pays: bool) -> None:
    """Shortened for each question anew it is never cached; as it is, from the second time on."""
    shared = Outlook(shared=1, repeats=repeats)
    assert pays == (saving(halved(LONG, SHORT), shared, CHEAP_CACHE) > 0)


def test_tools_count_for_the_cache() -> None:
    """They stand before the messages: 900 tokens of them and 500 of prefix are a prefix of 1,400."""
    outlook = Outlook(first_touched=0, cached_given=1)
    alone, with_tools = (saving(halved(500, 10, fixed=n), outlook, CHEAP_CACHE) for n in (0, 900))

    assert alone > 0 > with_tools
