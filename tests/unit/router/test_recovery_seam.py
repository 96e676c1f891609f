"""Where a continuation meets what was sent, character by character; and who is asked to continue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_router.prefill import Echo, prefill_of
from meshgate_router.providers.base import ProviderError
from meshgate_router.seam import Seam
from tests.unit.router.support import deployment

TEXT = (
    "A gateway stands between many clients and many providers. It keeps their keys, counts what they spend, "
    "and asks somebody else when the first one fails. Nobody should notice; that is what it is for."
)


def joined(sent: str, rest: str, echo: Echo, *, trimmed: str = "", size: int = 3) -> str:
    """What the client has in the end, if the continuation comes in pieces of `size` characters."""
    subject = Seam(sent, trimmed, echo)
    pieces = [subject.feed(rest[start : start + size]) for start in range(0, len(rest), size)]
    return sent + "".join(pieces) + subject.finish()


@given(st.integers(min_value=1, max_value=len(TEXT)), st.integers(min_value=1, max_value=40))
def test_a_continuation_that_only_goes_on(cut: int, size: int) -> None:
    """Whatever the provider promises, wherever the text was cut, however the rest comes."""
    for echo in (Echo.NEVER, Echo.UNKNOWN, Echo.ALWAYS):
        assert TEXT == joined(TEXT[:cut], TEXT[cut:], echo, size=size)


@given(st.integers(min_value=4, max_value=len(TEXT)), st.integers(min_value=1, max_value=40))
def test_an_answer_from_its_beginning_is_cut(cut: int, size: int) -> None:
    """What was sent is not sent twice."""
    for echo in (Echo.UNKNOWN, Echo.ALWAYS):
        assert TEXT == joined(TEXT[:cut], TEXT, echo, size=size)


@given(
    st.integers(min_value=30, max_value=len(TEXT) - 1),
    st.integers(min_value=12, max_value=29),
    st.integers(min_value=1, max_value=40),
)
def test_last_words_that_are_repeated_are_cut(cut: int, again: int, size: int) -> None:
    """From twelve characters on: fewer are chance."""
    assert TEXT == joined(TEXT[:cut], TEXT[cut - again :], Echo.UNKNOWN, size=size)


@given(st.text(alphabet="ab \n", min_size=1, max_size=60), st.data())
def test_whoever_promises_to_go_on_loses_nothing(text: str, data: st.DataObject) -> None:
    """Texts of few letters repeat themselves all the time: nothing is taken for a repetition."""
    cut = data.draw(st.integers(min_value=0, max_value=len(text)))

    assert text == joined(text[:cut], text[cut:], Echo.NEVER, size=data.draw(st.integers(1, 9)))


@pytest.mark.parametrize(
    "text", ["ha ha ha ha ha ha ha ha ha ha", "| --- | --- | --- | --- | --- | --- |\n" * 3]
)
def test_a_text_that_repeats_itself_is_let_through(text: str) -> None:
    """Nobody can tell a repetition from a continuation there, and what is said is not to be lost."""
    half = len(text) // 2

    assert text == joined(text[:half], text[half:], Echo.UNKNOWN)


@given(st.integers(min_value=1, max_value=len(TEXT) - 1), st.integers(min_value=1, max_value=40))
def test_white_space_that_was_left_out_is_not_doubled(cut: int, size: int) -> None:
    """Anthropic takes no prefix that ends in it; the model says it again, or does not."""
    sent = TEXT[:cut]
    trimmed = sent[len(sent.rstrip()) :]

    assert TEXT == joined(sent, trimmed + TEXT[cut:], Echo.NEVER, trimmed=trimmed, size=size)
    assert TEXT == joined(sent, TEXT[cut:], Echo.NEVER, trimmed=trimmed, size=size)


def test_another_answer_is_no_continuation() -> None:
    """It begins as the old one did and goes another way: it fits nowhere."""
    subject = Seam(TEXT[:90], "", Echo.UNKNOWN)
    with pytest.raises(ProviderError) as caught:
        subject.feed(TEXT[:40] + " and then something else")

    assert "began anew" in caught.value.message


def test_nothing_waits_when_it_is_clear() -> None:
    """The first piece of an ordinary continuation leaves at once."""
    subject = Seam("The capital of France", "", Echo.UNKNOWN)

    assert [" is", " P", "aris"] == [subject.feed(piece) for piece in (" is", " P", "aris")]


def test_an_answer_that_ends_while_it_repeats_adds_nothing() -> None:
    """The continuation was shorter than what the client has."""
    assert TEXT[:60] == joined(TEXT[:60], TEXT[:30], Echo.UNKNOWN)


OWN = "http://10.0.0.7:8000/v1"
PREFILLS = [
    ("anthropic", "claude-sonnet-4-5-20250929", None, True),
    ("anthropic", "claude-3-5-haiku-latest", None, True),
    ("anthropic", "claude-opus-4-20250514", None, True),
    ("anthropic", "claude-opus-4-6", None, False),
    ("anthropic", "claude-sonnet-5", None, False),
    ("mistral", "mistral-large-latest", None, True),
    ("deepseek", "deepseek-chat", None, False),
    ("deepseek", "deepseek-chat", "https://api.deepseek.com/beta", True),
    ("hosted_vllm", "qwen", OWN, True),
    ("openai", "gpt-4o", None, False),
    ("openai", "gpt-4o", "https://eu.api.openai.com/v1", False),
    ("openai", "qwen", OWN, True),
    ("azure", "gpt-4o", "https://x.openai.azure.com", False),
    ("gemini", "gemini-2.5-pro", None, False),
    ("groq", "llama-3.3-70b-versatile", None, True),
]


@pytest.mark.parametrize(("provider", "model", "base", "expected"), PREFILLS)
def test_who_can_go_on(provider: str, model: str, base: str | None, expected: bool) -> None:
    """Only where somebody promises it; model_info says otherwise for one deployment."""
    target = {"provider": provider, "upstream_model": model, "api_base": base}
    told = deployment(**target, model_info={"supports_assistant_prefill": not expected})

    assert expected == (prefill_of(deployment(**target)) is not None)
    assert expected != (prefill_of(told) is not None)
