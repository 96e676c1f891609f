"""A chat completion request: OpenAI's JSON object <-> ChatRequest, losing nothing."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.message_json import MESSAGE
from meshgate_chassis.chat.shape import (
    Shape,
    read_number,
    read_raw_object,
    write_as,
    write_raw_object,
)
from meshgate_chassis.chat.tool_json import (
    read_tool_choice,
    read_tools,
    write_tool_choice,
    write_tools,
)
from meshgate_protos.chat.v1 import chat_pb2 as pb


def request_from_json(body: JsonObject) -> pb.ChatRequest:
    """Never refuses a shape; `validate.validate_request` does that."""
    request = pb.ChatRequest()
    _REQUEST.fill(request, body)
    return request


def request_to_json(request: pb.ChatRequest) -> JsonObject:
    """The inverse of `request_from_json`."""
    return _REQUEST.write(request)


def _read_stop(request: Any, value: Any) -> bool:
    if type(value) is str:
        request.stop.single = True
        request.stop.sequences.append(value)
        return True
    if type(value) is not list or not all(type(item) is str for item in value):
        return False
    request.stop.SetInParent()
    request.stop.sequences.extend(value)
    return True


def _write_stop(body: JsonObject, stop: Any) -> None:
    sequences = list(stop.sequences)
    body["stop"] = sequences[0] if stop.single and sequences else sequences


_REQUEST: Final = Shape(
    scalars={
        "model": str,
        "parallel_tool_calls": bool,
        "max_tokens": int,
        "max_completion_tokens": int,
        "n": int,
        "seed": int,
        "user": str,
        "reasoning_effort": str,
        "stream": bool,
    },
    zero_is_absent=frozenset({"model"}),
    readers={
        "tools": read_tools,
        "tool_choice": read_tool_choice,
        "temperature": read_number("temperature"),
        "top_p": read_number("top_p"),
        "stop": _read_stop,
        "response_format": read_raw_object("response_format_json"),
        "stream_options": read_raw_object("stream_options_json"),
    },
    writers={
        "tools": write_tools,
        "tool_choice": write_tool_choice,
        "temperature": write_as("temperature"),
        "top_p": write_as("top_p"),
        "stop": _write_stop,
        "response_format_json": write_raw_object("response_format"),
        "stream_options_json": write_raw_object("stream_options"),
    },
).holding(lists={"messages": MESSAGE})
