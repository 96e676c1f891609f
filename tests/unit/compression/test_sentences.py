# ruff: noqa: RUF001 - punctuation of other scripts is the material here
"""Units: sentences where they end in their language."""

import pytest

from meshgate_compression.sentences import UNIT_CHARS_MAX, split_units
from meshgate_compression.spans import find_spans


def units(text: str) -> list[str]:
    return [text[u.start : u.end] for u in split_units(text, find_spans(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One here. Two there! Three?", ["One here.", "Two there!", "Three?"]),
        ("Dr. Meyer met J. R. Smith. They talked.", ["Dr. Meyer met J. R. Smith.", "They talked."]),
        ("It is so, e.g. here. Right.", ["It is so, e.g. here.", "Right."]),
        ("It grew by 3.5 points. Good.", ["It grew by 3.5 points.", "Good."]),
        ('He said "Go. Now." She left.', ['He said "Go. Now."', "She left."]),
        ("他们开会。天气很好！真的？", ["他们开会。", "天气很好！", "真的？"]),
        ("وصل القطار. هل كان ذلك متوقعا؟ نعم.", ["وصل القطار.", "هل كان ذلك متوقعا؟", "نعم."]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("1. One thing. And more.\n2. Another.", ["1. One thing.", "And more.", "2. Another."]),
        ("- one item\n- two items", ["- one item", "- two items"]),
        ("Title\n\nText of it.", ["Title", "Text of it."]),
        ("a line that was\nwrapped by hand. Next.", ["a line that was\nwrapped by hand.", "Next."]),
    ],
)
def test_where_units_end(text: str, expected: list[str]) -> None:
    """At sentence ends, list items, headings; not at abbreviations, initials, decimals or in quotes."""
    assert expected == units(text)


def test_paragraphs_are_counted() -> None:
    """A blank line parts paragraphs, a line break does not."""
    text = "A a.\nB b.\n\nC c.\n\n\nD d."

    assert [0, 0, 1, 2] == [u.paragraph for u in split_units(text, [])]


def test_an_endless_sentence_is_cut_at_words() -> None:
    """Speech without punctuation still gives units to choose from."""
    text = "and then we went on talking about it " * 100
    found = units(text)

    assert max(map(len, found)) <= UNIT_CHARS_MAX + 20
    assert text.split() == " ".join(found).split()


def test_a_block_is_one_unit() -> None:
    """With its blank lines and full stops."""
    block = "```\nOne. Two.\n\nThree.\n```"

    assert ["See:", block, "Done."] == units(f"See:\n{block}\nDone.")
