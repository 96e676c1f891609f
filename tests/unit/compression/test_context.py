# ruff: noqa: RUF001 - punctuation of other scripts is the material here
"""A user's own words and the context they are about."""

import pytest

from meshgate_compression.context import divide
from tests.unit.compression.passages import document, paragraph

QUESTION = "Who paid for the lighthouse?"
DOCUMENT = document()


@pytest.mark.parametrize(
    "text",
    [
        f"{DOCUMENT}\n\n{QUESTION}",
        f"{QUESTION}\n\n{DOCUMENT}",
        f"{DOCUMENT}\n{QUESTION}",
        f"{DOCUMENT} {QUESTION}",
        f"{DOCUMENT}\n\n{QUESTION}\n\nThank you!",
        f"<context>\n{DOCUMENT}\n</context>\n{QUESTION}",
        f"<documents><document index='1'>{DOCUMENT}</document></documents>\n{QUESTION}",
        f"Answer from the context.\n\nContext:\n{DOCUMENT}\n\nQuestion: {QUESTION}\nAnswer:",
        f"Document 1:\n{DOCUMENT}\n\nQuestion: {QUESTION}",
        f"上下文：\n{DOCUMENT}\n\n问题：{QUESTION}",
        f"{DOCUMENT}\n\nwho paid for the lighthouse",
    ],
)
def test_the_question_is_found(text: str) -> None:
    """In the shapes that prompts have."""
    (division,) = divide([text], None)
    own = division.own_words(text)

    assert division.context
    assert division.retrieved
    assert "paid for the lighthouse" in own
    assert "A merchant named" not in own


def test_a_short_message_is_all_his_own() -> None:
    """Even with a question mark in it."""
    (division,) = divide(["Tell me about the lighthouse. Who paid for it?"], None)

    assert not division.context


def test_what_is_declared_not_to_be_context_is_left() -> None:
    """The caller knows better."""
    (division,) = divide([f"<context>{DOCUMENT}</context> {QUESTION}"], False)

    assert not division.context


def test_context_and_question_may_be_different_texts() -> None:
    """Parts of one message, or messages in a row."""
    first, second = divide([DOCUMENT, QUESTION], None)

    assert first.context
    assert () == first.own
    assert not second.context


def test_orders_inside_a_long_text_are_kept() -> None:
    """Without a question every sentence that sounds like an order is the user's own."""
    text = f"{DOCUMENT}\n\nYou must never mention the brewery.\n\n{DOCUMENT}"
    (division,) = divide([text], None)

    assert division.context
    assert not division.retrieved
    assert "You must never mention the brewery." in division.own_words(text)


def test_declared_context_may_be_short() -> None:
    """Where recognition would not dare."""
    text = paragraph("harbour")

    assert not divide([text], None)[0].context
    assert divide([text], True)[0].context
