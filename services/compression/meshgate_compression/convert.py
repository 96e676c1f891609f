"""protobuf <-> domain. Invariant: only texts differ between the messages given and those returned."""

from collections.abc import Sequence

from meshgate_chassis.errors import invalid_field
from meshgate_compression.messages import Message, Part
from meshgate_compression.policy import RATIO_MAX, RATIO_MIN, Policy
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.compression.v1 import compression_service_pb2 as pb

_CACHE_MARKERS = (b'"cache_control"', b'"prompt_cache_breakpoint"')  # Anthropic's and others', OpenAI's.


def messages_from_proto(messages: Sequence[chat.Message]) -> tuple[Message, ...]:
    """The messages as texts and places of other things."""
    return tuple(_message_from_proto(message) for message in messages)


def _message_from_proto(message: chat.Message) -> Message:
    marked = _is_marked(message.extra_json)
    if message.WhichOneof("content") == "parts":
        parts = tuple(_part_from_proto(part) for part in message.parts.parts)
        return Message(message.role, (*parts, Part(None, marked=marked)))
    text = message.text if message.WhichOneof("content") == "text" else None
    return Message(message.role, (Part(text, marked=marked),))


def _part_from_proto(part: chat.ContentPart) -> Part:
    kind = part.WhichOneof("part")
    if kind == "text":
        return Part(part.text.text, marked=_is_marked(part.text.extra_json))
    other = part.image_url.extra_json if kind == "image_url" else part.raw_json
    return Part(None, marked=_is_marked(other))


def _is_marked(extra_json: bytes) -> bool:
    return any(marker in extra_json for marker in _CACHE_MARKERS)


def messages_to_proto(given: Sequence[chat.Message], shortened: Sequence[Message]) -> list[chat.Message]:
    """The given messages with the shortened texts."""
    result: list[chat.Message] = []
    for message, shorter in zip(given, shortened, strict=True):
        copy = chat.Message()
        copy.CopyFrom(message)
        if copy.WhichOneof("content") == "text":
            copy.text = shorter.parts[0].text or ""
        elif copy.WhichOneof("content") == "parts":
            for part, shorter_part in zip(copy.parts.parts, shorter.parts, strict=False):
                if part.WhichOneof("part") == "text":
                    part.text.text = shorter_part.text or ""
        result.append(copy)
    return result


def policy_from_proto(policy: pb.Policy, default: Policy) -> Policy:
    """The policy of a request; what it leaves open is the default's. Raises INVALID_ARGUMENT."""
    ratio, rag_ratio = default.ratio, default.rag_ratio
    if policy.HasField("target_ratio"):
        ratio = rag_ratio = _ratio("policy.target_ratio", policy.target_ratio)
    if policy.HasField("rag_target_ratio"):
        rag_ratio = _ratio("policy.rag_target_ratio", policy.rag_target_ratio)
    min_tokens = policy.min_tokens if policy.HasField("min_tokens") else default.min_tokens
    if min_tokens < 0:
        raise invalid_field("policy.min_tokens", "must not be negative")
    return Policy(
        ratio=ratio,
        rag_ratio=rag_ratio,
        min_tokens=min_tokens,
        allow_system=policy.allow_system,
        rag=policy.rag if policy.HasField("rag") else None,
    )


def _ratio(path: str, value: float) -> float:
    if not RATIO_MIN <= value <= RATIO_MAX:
        raise invalid_field(path, f"must be between {RATIO_MIN} and {RATIO_MAX}")
    return value
