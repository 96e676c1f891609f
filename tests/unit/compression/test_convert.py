"""protobuf <-> domain: texts go through, everything else stays."""

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_compression.convert import messages_from_proto, messages_to_proto, policy_from_proto
from meshgate_compression.messages import Message, Part
from meshgate_compression.policy import Policy
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.compression.v1 import compression_service_pb2 as pb

FULL = [
    chat.Message(role="system", text="Be brief.", extra_json=b'{"x": 1}'),
    chat.Message(
        role="user",
        parts=chat.ContentParts(
            parts=[
                chat.ContentPart(text=chat.TextPart(text="one", extra_json=b'{"y": 2}')),
                chat.ContentPart(image_url=chat.ImageUrlPart(url="https://example.com/a.png")),
                chat.ContentPart(raw_json=b'{"type": "file"}'),
                chat.ContentPart(text=chat.TextPart(text="two")),
            ]
        ),
    ),
    chat.Message(
        role="assistant",
        tool_calls=[chat.ToolCall(id="c1", function=chat.FunctionCall(name="f", arguments="{}"))],
    ),
    chat.Message(role="tool", text="result", tool_call_id="c1"),
]


def test_unchanged_texts_give_the_same_messages() -> None:
    """Nothing is lost on the way there and back."""
    assert FULL == messages_to_proto(FULL, messages_from_proto(FULL))


def test_only_the_text_changes() -> None:
    """Each text goes back to its own place."""
    shorter = [
        Message(m.role, tuple(Part(p.text and p.text.upper()) for p in m.parts))
        for m in messages_from_proto(FULL)
    ]
    result = messages_to_proto(FULL, shorter)

    assert "BE BRIEF." == result[0].text
    assert ["ONE", "TWO"] == [p.text.text for p in result[1].parts.parts if p.HasField("text")]
    assert FULL[2] == result[2]
    assert b'{"y": 2}' == result[1].parts.parts[0].text.extra_json


@pytest.mark.parametrize(
    "message",
    [
        chat.Message(role="user", text="x", extra_json=b'{"cache_control": {"type": "ephemeral"}}'),
        chat.Message(
            role="user",
            parts=chat.ContentParts(
                parts=[chat.ContentPart(text=chat.TextPart(text="x", extra_json=b'{"cache_control": {}}'))]
            ),
        ),
        chat.Message(
            role="user",
            parts=chat.ContentParts(
                parts=[chat.ContentPart(raw_json=b'{"type": "file", "cache_control": {}}')]
            ),
        ),
        chat.Message(role="user", text="x", extra_json=b'{"prompt_cache_breakpoint": {"mode": "explicit"}}'),
    ],
)
def test_cache_markers_are_seen(message: chat.Message) -> None:
    """On a message, on a text and on any other part."""
    (converted,) = messages_from_proto([message])

    assert any(part.marked for part in converted.parts)


def test_a_policy_takes_the_defaults_for_what_it_leaves_open() -> None:
    """And one ratio, when given, holds for everything."""
    default = Policy(ratio=0.6, rag_ratio=0.4, min_tokens=300)

    assert default == policy_from_proto(pb.Policy(), default)
    asked = policy_from_proto(pb.Policy(target_ratio=0.25, min_tokens=0, rag=False), default)
    assert Policy(ratio=0.25, rag_ratio=0.25, min_tokens=0, rag=False) == asked


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (pb.Policy(target_ratio=0.01), "policy.target_ratio"),
        (pb.Policy(target_ratio=1.5), "policy.target_ratio"),
        (pb.Policy(target_ratio=float("nan")), "policy.target_ratio"),
        (pb.Policy(min_tokens=-1), "policy.min_tokens"),
    ],
)
def test_bad_policies_name_the_field(policy: pb.Policy, field: str) -> None:
    """FIELD_INVALID, for the edge to tell the client."""
    with pytest.raises(MeshError) as caught:
        policy_from_proto(policy, Policy())

    assert [field] == list(caught.value.fields)
