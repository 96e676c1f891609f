"""Tokens, schemas, answers, settings: the parts without a socket."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_demo import tokens
from meshgate_demo.answers import answer, filler
from meshgate_demo.directives import read_directives, without_directives
from meshgate_demo.schema_values import value_for
from meshgate_demo.settings import settings_from_environment


@given(st.text())
def test_pieces_lose_nothing(text: str) -> None:
    """Tokens joined are the text, and each of them has something in it."""
    split = tokens.pieces(text)

    assert "".join(split) == text
    assert all(split)


@given(st.integers(min_value=1, max_value=500))
def test_filler_is_long_enough(count: int) -> None:
    """A piece has at most eight characters of filler text, so N tokens are in 8 N characters."""
    assert tokens.count(filler(count * 8)) >= count


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the capital of France?", "The capital of France is Paris."),
        ("and the capital of the united states?", "The capital of the United States is Washington, D.C.."),
        ("What is 17 + 25?", "17 + 25 = 42"),
        ("Say: hello world", "hello world"),
    ],
)
def test_answers(question: str, expected: str) -> None:
    """The tiny table, arithmetic and repetition."""
    assert answer(question) == expected


def test_any_other_question_is_told_back() -> None:
    """A reader sees that the question arrived."""
    assert "Why is the sky blue" in answer("Why is the sky blue?")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"type": "string", "maxLength": 2}, "Pa"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": ["null", "number"]}, 3),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"anyOf": [{"type": "null"}, {"const": 7}]}, 7),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]}, {"a": 1}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}}, None),
        ({"type": "object", "properties": {"a": {"format": "date"}}}, {"a": "2026-01-31"}),
    ],
)
def test_values_fit_their_schema(schema: dict[str, Any], value: object) -> None:
    """Each keyword that is understood."""
    assert value_for(schema, "In Paris for 3 days") == value


def test_a_schema_that_refers_to_itself_ends() -> None:
    """Recursion has a limit."""
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}}

    assert value_for(schema, "") is not None


def test_directives() -> None:
    """They are read wherever they stand, and are no part of the question."""
    text = "Tell (demo:fail=429:2@m), demo:delay=0.5 a story. demo:tokens=7."

    said = read_directives(text)

    assert (said.fail, said.delay_s, said.tokens) == ("429:2@m", 0.5, 7)
    assert without_directives("Tell demo:tokens=7 a story") == "Tell a story"


@pytest.mark.parametrize(
    "environ",
    [
        {"MESHGATE_DEMO_LISTEN": "4010"},
        {"MESHGATE_DEMO_CHUNK_DELAY_S": "-1"},
        {"MESHGATE_DEMO_RECORDS_MAX": "0"},
    ],
)
def test_settings_name_what_is_wrong(environ: dict[str, str]) -> None:
    """The message names the variable."""
    with pytest.raises(ValueError, match=next(iter(environ))):
        settings_from_environment(environ)
