"""chat.json: one strict, fast JSON, and one error for all that is wrong."""

import pytest

from meshgate_chassis.chat.json import dumps, loads, loads_object
from meshgate_chassis.errors import Code, MeshError


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"", "not valid JSON"),
        (b'{"a":', "not valid JSON"),
        (b"NaN", "not valid JSON"),
        (b"[Infinity]", "not valid JSON"),
        (b"1e400", "out of range"),
        (b'"\\ud800"', "not valid JSON"),
        (b'"\xff"', "UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "too deeply"),
    ],
)
def test_bad_text_is_one_error(text: bytes, hint: str) -> None:
    """Whatever is wrong with the text, the error is INVALID_ARGUMENT/JSON_INVALID and says what."""
    with pytest.raises(MeshError) as caught:
        loads(text)
    assert (Code.INVALID_ARGUMENT, "JSON_INVALID") == (caught.value.code, caught.value.reason)
    assert hint in caught.value.message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"null", "null"),
        (b"[]", "a list"),
        (b'"x"', "a string"),
        (b"1", "an integer"),
        (b"1.5", "a number"),
        (b"true", "a boolean"),
    ],
)
def test_an_object_is_demanded(text: bytes, kind: str) -> None:
    """loads_object says what it got in place of an object."""
    with pytest.raises(MeshError, match=f"not {kind}"):
        loads_object(text)


def test_big_integers_survive() -> None:
    """Integers of more than 64 bits are not rounded."""
    assert {"seed": 10**40} == loads_object(dumps({"seed": 10**40}))


def test_unspeakable_values_are_one_error() -> None:
    """A lone surrogate or endless nesting is JSON_INVALID when encoding, too."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("\ud800", deep):
        with pytest.raises(MeshError, match="JSON_INVALID"):
            dumps(value)
