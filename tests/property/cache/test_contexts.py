"""The fingerprint of everything but the last user text: any difference is another context."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_cache.semantic.question import is_context_of, question_of
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

CASES = 10_000
WORDS = ("alpha", "beta", "gamma", "delta", "", " ", "é", "0")
ROLES = ("user", "assistant", "system")


def talk(chance: random.Random, last: str = "And the capital?") -> chat_pb.ChatRequest:
    """A random history with the same last message."""
    messages = [
        chat_pb.Message(role=chance.choice(ROLES), text=" ".join(chance.choices(WORDS, k=3)))
        for _ in range(chance.randint(1, 4))
    ]
    return chat_pb.ChatRequest(model="m", messages=[*messages, chat_pb.Message(role="user", text=last)])


def context(chat: chat_pb.ChatRequest, tenant: str = "t", namespace: str = "n") -> bytes:
    question = question_of(tenant, namespace, chat)
    assert question is not None
    return question.context


def test_other_histories_are_other_contexts() -> None:
    """10,000 random pairs with the same last message: equal contexts iff equal histories."""
    chance = random.Random(5)
    different = 0
    for _ in range(CASES):
        a, b = talk(chance), talk(chance)
        assert (context(a) == context(b)) == (a == b)
        different += a != b
    assert different > 0.9 * CASES


def test_other_tenants_and_namespaces_are_other_contexts() -> None:
    """10,000 random pairs of tenant and namespace, ambiguous when simply joined."""
    chance = random.Random(6)
    chat = talk(chance)
    for _ in range(CASES):
        a, b = (("".join(chance.choices("ab:", k=2)), "".join(chance.choices("ab:", k=2))) for _ in "ab")
        assert (context(chat, *a) == context(chat, *b)) == (a == b)
        assert is_context_of(a[0], context(chat, *a))
        assert is_context_of(b[0], context(chat, *a)) == (a[0] == b[0])


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_tokens": st.integers(1, 9),
        "n": st.integers(1, 3),
        "seed": st.integers(0, 9),
        "response_format_json": st.sampled_from([b'{"type":"text"}', b'{"type":"json_object"}']),
        "extra_json": st.sampled_from([b'{"top_k":1}', b'{"top_k":2}', b'{"user":"a"}']),
        "model": st.sampled_from(["m", "m2"]),
    },
)


@given(first=CHANGES, second=CHANGES)
@settings(max_examples=2_000, deadline=None)
def test_any_changed_parameter_is_another_context(
    first: dict[str, object], second: dict[str, object]
) -> None:
    """And the text is not part of it."""
    one, two = (
        chat_pb.ChatRequest(**{"model": "m", **members}, messages=[chat_pb.Message(role="user", text=text)])
        for members, text in ((first, "What is it?"), (second, "Where is it?"))
    )
    same = chat_pb.ChatRequest()
    same.CopyFrom(two)
    same.messages[0].text = "What is it?"

    assert (context(one) == context(two)) == (one == same)


def test_what_does_not_end_in_one_user_text_is_no_question() -> None:
    """Tool results, answers to continue, pictures alone, nothing, and documents."""
    user = chat_pb.Message(role="user", text="What is it?")
    for last in (
        chat_pb.Message(role="assistant", text="It is"),
        chat_pb.Message(role="tool", text="42", tool_call_id="c"),
        chat_pb.Message(role="user"),
        chat_pb.Message(role="user", text=" \n"),
        chat_pb.Message(role="user", text="x" * 1_001),
        chat_pb.Message(role="user", parts=chat_pb.ContentParts()),
    ):
        assert question_of("t", "n", chat_pb.ChatRequest(model="m", messages=[user, last])) is None
    assert question_of("t", "n", chat_pb.ChatRequest(model="m")) is None
