"""A whole answer and its usage: OpenAI's JSON object <-> ChatResponse, losing nothing."""

from typing import Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.message_json import MESSAGE
from meshgate_chassis.chat.shape import (
    Shape,
    read_object,
    read_objects,
    write_object,
    write_objects,
)
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
    USAGE.fill(usage, body)
    return usage


def usage_to_json(usage: pb.Usage) -> JsonObject:
    """The inverse of `usage_from_json`."""
    return USAGE.write(usage)


_PROMPT_DETAILS: Final = Shape(scalars={"cached_tokens": int, "cache_creation_tokens": int})

_COMPLETION_DETAILS: Final = Shape(scalars={"reasoning_tokens": int})

USAGE: Final = Shape(
    scalars={"prompt_tokens": int, "completion_tokens": int, "total_tokens": int},
    readers={
        "prompt_tokens_details": read_object("prompt_tokens_details", _PROMPT_DETAILS),
        "completion_tokens_details": read_object("completion_tokens_details", _COMPLETION_DETAILS),
    },
    writers={
        "prompt_tokens_details": write_object("prompt_tokens_details", _PROMPT_DETAILS),
        "completion_tokens_details": write_object("completion_tokens_details", _COMPLETION_DETAILS),
    },
)

_CHOICE: Final = Shape(
    scalars={"index": int, "finish_reason": str},
    readers={"message": read_object("message", MESSAGE)},
    writers={"message": write_object("message", MESSAGE)},
)

_RESPONSE: Final = Shape(
    scalars={"id": str, "created": int, "model": str},
    zero_is_absent=frozenset({"id", "created", "model"}),
    readers={
        "choices": read_objects("choices", _CHOICE),
        "usage": read_object("usage", USAGE),
    },
    writers={
        "choices": write_objects("choices", _CHOICE),
        "usage": write_object("usage", USAGE),
    },
)
