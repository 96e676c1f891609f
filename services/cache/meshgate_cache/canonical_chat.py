"""A chat request -> the bytes that a cache key is made of. Pure.

The canonical form of a request is its protobuf with every JSON member put into canonical form: equal for
requests that mean the same, different for all others, members unknown to this version included.
"""

from typing import Final

from meshgate_cache.canonical_json import canonical_json, canonical_members
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

# Members of a request that steer the gateway or label the call and do not change the answer. `stream` and
# `stream_options` are here for values that fit no typed field: both forms of an answer replay one entry.
# `user` is not: it is sent upstream, and LiteLLM's key has it too.
IGNORED_MEMBERS: Final = frozenset({"cache", "metadata", "litellm_metadata", "stream", "stream_options"})


def canonical_chat(chat: chat_pb.ChatRequest) -> bytes:
    """The text that a cache key is made of. Does not change `chat`."""
    copy = chat_pb.ChatRequest()
    copy.CopyFrom(chat)
    copy.ClearField("stream")
    copy.ClearField("stream_options_json")
    if copy.extra_json:
        copy.extra_json = canonical_members(copy.extra_json, IGNORED_MEMBERS)
    if copy.response_format_json:
        copy.response_format_json = canonical_json(copy.response_format_json)
    if copy.tool_choice.WhichOneof("choice") == "raw_json":
        copy.tool_choice.raw_json = canonical_json(copy.tool_choice.raw_json)
    for tool in copy.tools:
        _canonical_tool(tool)
    for message in copy.messages:
        _canonical_message(message)
    return copy.SerializeToString(deterministic=True)


def _canonical_tool(tool: chat_pb.Tool) -> None:
    if tool.WhichOneof("tool") == "raw_json":
        tool.raw_json = canonical_json(tool.raw_json)
        return
    function = tool.function
    if function.parameters_json:
        function.parameters_json = canonical_json(function.parameters_json)
    if function.function_extra_json:
        function.function_extra_json = canonical_members(function.function_extra_json)
    if function.extra_json:
        function.extra_json = canonical_members(function.extra_json)


def _canonical_message(message: chat_pb.Message) -> None:
    if message.extra_json:
        message.extra_json = canonical_members(message.extra_json)
    if message.WhichOneof("content") == "parts":
        for part in message.parts.parts:
            _canonical_part(part)
    for call in message.tool_calls:
        if call.extra_json:
            call.extra_json = canonical_members(call.extra_json)
        if call.function.extra_json:
            call.function.extra_json = canonical_members(call.function.extra_json)


def _canonical_part(part: chat_pb.ContentPart) -> None:
    kind = part.WhichOneof("part")
    if kind == "raw_json":
        part.raw_json = canonical_json(part.raw_json)
    elif kind == "text" and part.text.extra_json:
        part.text.extra_json = canonical_members(part.text.extra_json)
    elif kind == "image_url":
        image = part.image_url
        if image.extra_json:
            image.extra_json = canonical_members(image.extra_json)
        if image.image_url_extra_json:
            image.image_url_extra_json = canonical_members(image.image_url_extra_json)
