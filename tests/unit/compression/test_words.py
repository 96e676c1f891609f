"""Terms: words brought to one form."""

import pytest

from meshgate_compression.score import alike
from meshgate_compression.words import stem, terms


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("compressed", "compressing"),
        ("cities", "city"),
        ("measures", "measure"),
        ("planned", "planning"),
        ("warsaw's", "warsaw"),
    ],
)
def test_forms_of_one_word_meet(first: str, second: str) -> None:
    """By their stem, or by what their stems share."""
    assert stem(first) == stem(second) or alike(stem(first), stem(second)) > 0.3


@pytest.mark.parametrize(("first", "second"), [("house", "horse"), ("1998", "1999"), ("cat", "car")])
def test_different_words_do_not(first: str, second: str) -> None:
    """Least of all numbers."""
    assert stem(first) != stem(second)
    assert 0.0 == alike(stem(first), stem(second))


def test_stop_words_are_left_out() -> None:
    """And so are question words: they are in no answer."""
    assert ["pump"] == terms("What is the pump?")


def test_scripts_without_spaces_give_pairs() -> None:
    """So that a question shares terms with a text around other words."""
    assert {"凍っ", "港は"} <= set(terms("港は凍った"))
    assert set(terms("港は")) & set(terms("今年も港は凍った"))
