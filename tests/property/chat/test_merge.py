"""Fragments of unknown members: whatever they are, joining them neither fails nor invents."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.chat.merge import joined, merge
from tests.property.chat.strategies import objects, texts, values

items = objects(type=st.sampled_from(["text", "thinking", "image"]), index=st.integers(0, 2), text=texts)
members = objects(reasoning=texts, details=st.lists(items, max_size=3), audio=items)


@given(fragments=st.lists(members, max_size=5))
def test_any_fragments_merge(fragments: list[dict[str, Any]]) -> None:
    """Every member of every fragment is a member of the whole, and no other is."""
    whole: dict[str, Any] = {}
    expected = {name for fragment in fragments for name in fragment}
    for fragment in fragments:
        merge(whole, fragment)
    assert expected == joined(whole).keys()


@given(pieces=st.lists(texts, min_size=1), name=st.sampled_from(["reasoning", "transcript"]))
def test_strings_grow(pieces: list[str], name: str) -> None:
    """A string that comes in pieces is their concatenation."""
    whole: dict[str, Any] = {}
    for piece in pieces:
        merge(whole, {name: piece})
    assert {name: "".join(pieces)} == joined(whole)


@given(value=values)
def test_null_says_nothing(value: Any) -> None:
    """A null before or after a value changes nothing."""
    assert joined(merge(merge(None, value), None)) == value
