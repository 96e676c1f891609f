"""protobuf <-> the cache's own values. Pure.

The canonical form of a request is its protobuf with every JSON member put into canonical form: equal for
requests that mean the same, different for all others, members unknown to this version included.
"""

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError

from meshgate_cache.canonical_json import canonical_json, canonical_members, has_a_value
from meshgate_cache.entry import CacheEntry
from meshgate_chassis.errors import invalid_field
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
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


def entry_to_proto(entry: CacheEntry) -> pb.Entry | None:
    """None when the stored response is no ChatResponse: such an entry is a miss."""
    try:
        response = chat_pb.ChatResponse.FromString(entry.response)
    except DecodeError:
        return None
    proto = pb.Entry(
        response=response, deployment_id=entry.deployment_id, cost_usd_nanos=entry.cost_usd_nanos
    )
    proto.create_time.FromNanoseconds(entry.created_ns)
    return proto


def entry_from_proto(proto: pb.Entry, now_ns: int) -> CacheEntry:
    """The entry to store; its creation time is the cache's."""
    return CacheEntry(proto.response.SerializeToString(), now_ns, proto.deployment_id, proto.cost_usd_nanos)


def says_nothing(choices: Iterable[chat_pb.Choice]) -> bool:
    """True when a choice has neither text, tool calls, a refusal nor any other member with a value."""
    return any(not _says_something(choice.message) for choice in choices)


def max_age_s(request: pb.LookupEntryRequest) -> float | None:
    """Seconds, or None for any age."""
    return request.max_age.ToNanoseconds() / 1e9 if request.HasField("max_age") else None


def requested_ttl_s(request: pb.StoreEntryRequest) -> float | None:
    """Seconds, or None for the configured one. Raises INVALID_ARGUMENT/FIELD_INVALID unless positive."""
    if not request.HasField("ttl"):
        return None
    ttl_s = request.ttl.ToNanoseconds() / 1e9
    if ttl_s <= 0:
        raise invalid_field("ttl", "must be longer than nothing")
    return ttl_s


def checked_length(path: str, value: str, characters_max: int, *, required: bool = False) -> str:
    """The value. Raises INVALID_ARGUMENT/FIELD_INVALID when it is too long, or missing though required."""
    if len(value) > characters_max:
        raise invalid_field(path, f"has more than {characters_max} characters")
    if required and not value:
        raise invalid_field(path, "is missing")
    return value


def _says_something(message: chat_pb.Message) -> bool:
    if message.text or message.parts.parts or message.tool_calls or message.refusal:
        return True
    return bool(message.extra_json) and has_a_value(message.extra_json)


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
