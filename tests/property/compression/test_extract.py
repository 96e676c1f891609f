"""What the extractive compressor promises for any text."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_compression.extractive import Section, extract
from meshgate_compression.sentences import split_units
from meshgate_compression.spans import Kind, find_spans
from meshgate_compression.tokens import O200K, Tokenizers
from tests.support.prompt_texts import long_texts, questions, ratios, texts

count = Tokenizers().count(O200K)


def shorten(text: str, ratio: float, question: str) -> str:
    return extract([Section(text)], ratio, question, count)[0]


@settings(max_examples=200)
@given(st.one_of(texts, long_texts), ratios, questions)
def test_never_longer(text: str, ratio: float, question: str) -> None:
    """Neither in tokens nor in characters; and what comes out is valid UTF-8."""
    result = shorten(text, ratio, question)

    assert count(result) <= count(text)
    assert len(result) <= len(text)
    assert result == result.encode().decode()


@settings(max_examples=200)
@given(st.one_of(texts, long_texts), ratios, questions)
def test_protected_spans_are_byte_equal(text: str, ratio: float, question: str) -> None:
    """Code, JSON, tables, URLs, numbers, quotes and tags come out as they are, each as often."""
    result = shorten(text, ratio, question)

    firm = Counter(text[s.start : s.end] for s in find_spans(text) if s.kind is not Kind.NAME)
    lost = {span for span, times in firm.items() if result.count(span) < min(times, text.count(span))}
    assert set() == lost


@settings(max_examples=150)
@given(long_texts, ratios, questions)
def test_twice_is_once(text: str, ratio: float, question: str) -> None:
    """A text that was compressed is left alone."""
    once = shorten(text, ratio, question)

    assert once == shorten(once, ratio, question)


@settings(max_examples=100)
@given(long_texts, ratios, questions)
def test_deterministic(text: str, ratio: float, question: str) -> None:
    """The same text gives the same bytes: provider prompt caches depend on it."""
    assert shorten(text, ratio, question) == shorten(text, ratio, question)


@settings(max_examples=200)
@given(st.one_of(texts, long_texts))
def test_units_give_the_text_back(text: str) -> None:
    """Cutting loses nothing, cuts no protected span, and counts paragraphs upwards."""
    spans = find_spans(text)
    units = split_units(text, spans)

    joined = "".join(text[unit.start : unit.end] + unit.separator for unit in units)
    assert text.lstrip() == joined
    borders = {unit.start for unit in units}
    assert not [b for b in borders for s in spans if s.start < b < s.end]
    assert sorted(unit.paragraph for unit in units) == [unit.paragraph for unit in units]


@settings(max_examples=200)
@given(st.one_of(texts, long_texts))
def test_spans_are_in_order_and_do_not_overlap(text: str) -> None:
    """As the units rely on it."""
    spans = find_spans(text)

    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert all(0 <= s.start < s.end <= len(text) for s in spans)
