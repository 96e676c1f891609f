"""What compressing a conversation promises for any conversation."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_compression.compressor import EXTRACTIVE
from meshgate_compression.conversation import compress_conversation
from meshgate_compression.messages import Message, Part
from meshgate_compression.policy import Policy
from meshgate_compression.tokens import O200K, Tokenizers
from tests.support.prompt_texts import openings, turns

count = Tokenizers().count(O200K)
policies = st.builds(
    Policy,
    ratio=st.sampled_from((0.3, 0.5)),
    rag_ratio=st.just(0.33),
    min_tokens=st.sampled_from((0, 100, 500)),
    allow_system=st.booleans(),
    rag=st.sampled_from((None, True, False)),
)
conversations = st.tuples(openings, st.lists(turns, max_size=3))


def compressed(messages: list[Message], policy: Policy) -> list[Message]:
    """The messages as they would be sent."""
    outcome = compress_conversation(messages, policy, EXTRACTIVE, count)
    return list(outcome.messages) or messages


def flat(opening: list[Message], rounds: list[tuple[list[Message], Message]]) -> list[Message]:
    return [*opening, *(m for before, answer in rounds for m in (*before, answer))]


@settings(max_examples=100)
@given(conversations, policies)
def test_structure_is_unchanged(
    conversation: tuple[list[Message], list[tuple[list[Message], Message]]], policy: Policy
) -> None:
    """Same roles, same order, same parts, and only texts differ."""
    messages = flat(*conversation)
    result = compressed(messages, policy)

    def shape(given: list[Message]) -> list[Message]:
        return [replace(m, parts=tuple(replace(p, text=p.text and "text") for p in m.parts)) for m in given]

    assert shape(messages) == shape(result)
    if not policy.allow_system:
        systems = [m for m in messages if m.role in ("system", "developer")]
        assert systems == [m for m in result if m.role in ("system", "developer")]


@settings(max_examples=100)
@given(conversations, turns, policies)
def test_the_prefix_is_stable_over_turns(
    conversation: tuple[list[Message], list[tuple[list[Message], Message]]],
    following: tuple[list[Message], Message],
    policy: Policy,
) -> None:
    """What was sent in one turn is sent again, byte for byte, in the next: prompt caches hit."""
    opening, rounds = conversation
    before, answer = following
    asked = [*flat(opening, rounds), *before]
    now = compressed(asked, policy)
    later = compressed([*asked, answer, Message("user", (Part("And then? " * 50),))], policy)

    assert now == later[: len(now)]


@settings(max_examples=100)
@given(conversations, policies)
def test_twice_is_once(
    conversation: tuple[list[Message], list[tuple[list[Message], Message]]], policy: Policy
) -> None:
    """A chain of gateways compresses as one does."""
    once = compressed(flat(*conversation), policy)

    assert once == compressed(once, policy)


@settings(max_examples=100)
@given(conversations, policies, st.integers(0, 100))
def test_nothing_up_to_a_cache_marker_is_touched(
    conversation: tuple[list[Message], list[tuple[list[Message], Message]]], policy: Policy, pick: int
) -> None:
    """The caller has cached that prefix at the provider."""
    messages = flat(*conversation)
    if not messages:
        return
    index = pick % len(messages)
    last = replace(messages[index].parts[-1], marked=True)
    messages[index] = replace(messages[index], parts=(*messages[index].parts[:-1], last))

    assert messages[: index + 1] == compressed(messages, policy)[: index + 1]
