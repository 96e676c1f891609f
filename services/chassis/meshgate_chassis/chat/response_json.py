"""A whole answer and its usage: OpenAI's JSON object <-> ChatResponse, losing nothing."""

from typing import Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.message_json import MESSAGE
from meshgate_chassis.chat.shape import Shape
from meshgate_protos.chat.v1 import chat_pb2 as pb


def response_from_json(body: JsonObject) -> pb.ChatResponse:
    """Never refuses a shape."""
    response = pb.ChatResponse()
    _RESPONSE.fill(response, body)
    return response


def response_to_json(response: pb.ChatResponse) -> JsonObject:
    """The inverse of `response_from_json`."""
    return _RESPONSE.write(response)


def usage_from_json(body: JsonObject) -> pb.Usage:
    """Never refuses a shape."""
    usage = pb.Usage()
    _USAGE.fill(usage, body)
    return usage


def usage_to_json(usage: pb.Usage) -> JsonObject:
    """The inverse of `usage_from_json`."""
    return _USAGE.write(usage)


_PROMPT_DETAILS: Final = Shape(scalars={"cached_tokens": int, "cache_creation_tokens": int})

_COMPLETION_DETAILS: Final = Shape(scalars={"reasoning_tokens": int})

_USAGE: Final = Shape(
    scalars={"prompt_tokens": int, "completion_tokens": int, "total_tokens": int},
).holding(
    objects={"prompt_tokens_details": _PROMPT_DETAILS, "completion_tokens_details": _COMPLETION_DETAILS}
)


def envelope(choice: Shape) -> Shape:
    """What a whole answer and one event of a stream have in common, around choices of this shape."""
    return Shape(
        scalars={"id": str, "created": int, "model": str},
        zero_is_absent=frozenset({"id", "created", "model"}),
    ).holding(lists={"choices": choice}, objects={"usage": _USAGE})


_CHOICE: Final = Shape(scalars={"index": int, "finish_reason": str}).holding(objects={"message": MESSAGE})

_RESPONSE: Final = envelope(_CHOICE)
