"""A conversation compressed: what is touched, what is not, and why not."""

from meshgate_compression.compressor import EXTRACTIVE, NONE
from meshgate_compression.conversation import Outcome, Reason, compress_conversation
from meshgate_compression.messages import Message, Part
from meshgate_compression.policy import Policy
from tests.unit.compression.passages import count, document, message, text_of

QUESTION = "Who paid for the lighthouse?"
DOCUMENT = document()


def compress(*messages: Message, policy: Policy | None = None, compressor: str = EXTRACTIVE) -> Outcome:
    return compress_conversation(messages, policy or Policy(), compressor, count)


def test_retrieved_context_gets_its_own_ratio() -> None:
    """A third, where conversation gets a half."""
    outcome = compress(message("user", f"<context>{DOCUMENT}</context>\n{QUESTION}"))

    assert 0.30 < outcome.tokens_after / outcome.tokens_before < 0.37
    assert text_of(outcome.messages, 0).endswith(f"</context>\n{QUESTION}")


def test_tool_results_are_context_for_the_question_before_them() -> None:
    """The answering sentence stays; the call and the JSON results are as they were."""
    json_result = '{"rows": [' + ", ".join(f'{{"id": {n}, "text": "row"}}' for n in range(50)) + "]}"
    outcome = compress(
        message("user", QUESTION),
        message("assistant", ""),
        message("tool", DOCUMENT),
        message("tool", json_result),
    )

    assert "Oskar Lindlighthouse paid for the lighthouse" in text_of(outcome.messages, 2)
    assert len(text_of(outcome.messages, 2)) < len(DOCUMENT) / 2
    assert json_result == text_of(outcome.messages, 3)


def test_system_prompts_need_leave() -> None:
    """And keep their orders when they have it."""
    system = f"{DOCUMENT}\n\nAlways answer in French."
    given = (message("system", system), message("user", QUESTION))

    assert Reason.NOTHING_TO_GAIN is compress(*given).reason
    allowed = compress(*given, policy=Policy(allow_system=True))
    assert len(text_of(allowed.messages, 0)) < 0.7 * len(system)
    assert "Always answer in French." in text_of(allowed.messages, 0)
    assert "Oskar Lindlighthouse paid" in text_of(allowed.messages, 0)


def test_what_the_assistant_is_to_continue_is_left() -> None:
    """A prefill is the start of the answer."""
    given = (message("user", QUESTION), message("assistant", DOCUMENT))

    assert Reason.NOTHING_TO_GAIN is compress(*given).reason


def test_an_earlier_answer_is_shortened() -> None:
    """To the ratio of conversation."""
    outcome = compress(
        message("user", QUESTION), message("assistant", DOCUMENT), message("user", "Thanks. And the museum?")
    )

    assert 0.45 < count(text_of(outcome.messages, 1)) / count(DOCUMENT) < 0.55


def test_a_cache_marker_covers_all_before_it() -> None:
    """Also the parts before it in its own message."""
    marked = Message("user", (Part(DOCUMENT), Part(DOCUMENT, marked=True), Part(DOCUMENT), Part(QUESTION)))
    outcome = compress(message("user", f"{DOCUMENT}\n\n{QUESTION}"), message("assistant", "Hm."), marked)

    assert f"{DOCUMENT}\n\n{QUESTION}" == text_of(outcome.messages, 0)
    parts = [part.text for part in outcome.messages[2].parts]
    assert [DOCUMENT, DOCUMENT] == parts[:2]
    assert parts[2] is not None
    assert len(parts[2]) < len(DOCUMENT) / 2


def test_reasons() -> None:
    """Each way not to compress says so, and returns no messages."""
    short = message("user", "Hello?")

    assert Reason.BELOW_MINIMUM is compress(short).reason
    assert Reason.DISABLED is compress(message("user", DOCUMENT), compressor=NONE).reason
    assert Reason.NOTHING_TO_GAIN is compress(short, policy=Policy(min_tokens=0)).reason
    assert () == compress(short).messages


def test_a_turn_that_was_below_the_minimum_stays_as_it_was_sent() -> None:
    """Growth of the conversation does not reach back: its prefix is cached as it is."""
    first = message("user", f"{DOCUMENT}\n\n{QUESTION}")
    policy = Policy(min_tokens=count(text_of([first], 0)) + 1)
    later = compress(first, message("assistant", "A merchant."), first, policy=policy)

    assert Reason.BELOW_MINIMUM is compress(first, policy=policy).reason
    assert text_of([first], 0) == text_of(later.messages, 0)
    assert len(text_of(later.messages, 2)) < len(DOCUMENT) / 2
