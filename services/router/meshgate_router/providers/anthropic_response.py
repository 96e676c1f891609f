"""Anthropic's Message -> a chat completion in OpenAI's shape: pure.

Blocks of Anthropic's own server tools have no place there and are left out; the text around them stays.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_chassis.chat.response_json import response_from_json
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.anthropic_tools import JSON_TOOL
from meshgate_router.providers.base import senseless
from meshgate_router.providers.error_kinds import text_of

FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "compaction": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_THOUGHTS: Final = ("thinking", "redacted_thinking")
# Parts of the usage that price a call and have no name in OpenAI's shape.
_USAGE_KEPT: Final = (
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "server_tool_use",
)


def chat_answer(body: bytes, *, created_s: int, json_answer: bool) -> pb.ChatResponse:
    """Raises ProviderError when the body is no message."""
    try:
        message = loads_object(body)
    except MeshError as error:
        raise senseless(error.message) from error
    blocks = message.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise senseless("it has no content")
    answer: JsonObject = {
        "id": chat_id(message.get("id")),
        "object": "chat.completion",
        "created": created_s,
        "model": message.get("model"),
        "choices": [_choice(blocks, message.get("stop_reason"), json_answer=json_answer)],
    }
    usage = message.get("usage")
    if isinstance(usage, dict):
        answer["usage"] = usage_of(usage)
        if isinstance(usage.get("service_tier"), str):
            answer["service_tier"] = usage["service_tier"]
    return response_from_json(answer)


def _choice(blocks: Sequence[JsonObject], stop_reason: Any, *, json_answer: bool) -> JsonObject:
    texts = [text_of(block, "text") for block in blocks if block.get("type") == "text"]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    finish = finish_reason(stop_reason)
    if json_answer and any(call.get("name") == JSON_TOOL for call in calls):
        arguments = next(call.get("input") for call in calls if call.get("name") == JSON_TOOL)
        texts = [dumps(arguments).decode()]
        calls = [call for call in calls if call.get("name") != JSON_TOOL]
        if not calls and finish == "tool_calls":
            finish = "stop"
    message: JsonObject = {"role": "assistant", "content": "".join(texts) if texts else None}
    thoughts = [block for block in blocks if block.get("type") in _THOUGHTS]
    if thoughts:
        message["reasoning_content"] = "".join(text_of(block, "thinking") for block in thoughts)
        message["thinking_blocks"] = thoughts
    if calls:
        message["tool_calls"] = [_tool_call(call) for call in calls]
    citations = [block["citations"] for block in blocks if block.get("citations")]
    if citations:
        message["provider_specific_fields"] = {"citations": citations}
    return {"index": 0, "message": message, "finish_reason": finish}


def _tool_call(block: JsonObject) -> JsonObject:
    function = {"name": block.get("name"), "arguments": dumps(block.get("input") or {}).decode()}
    return {"id": block.get("id"), "type": "function", "function": function}


def finish_reason(stop_reason: Any) -> str:
    """OpenAI's word; reasons that are not known count as a normal stop."""
    return FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def chat_id(message_id: Any) -> str:
    """Made of Anthropic's own id, so that an answer can be found at both ends."""
    return f"chatcmpl-{message_id}" if isinstance(message_id, str) else "chatcmpl-"


def usage_of(usage: JsonObject) -> JsonObject:
    """OpenAI counts cached tokens as part of the prompt, Anthropic beside it."""
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    prompt = _count(usage, "input_tokens") + read + written
    completion = _count(usage, "output_tokens")
    translated: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_creation_tokens": written},
    }
    details = usage.get("output_tokens_details")
    if isinstance(details, dict) and isinstance(details.get("thinking_tokens"), int):
        translated["completion_tokens_details"] = {"reasoning_tokens": details["thinking_tokens"]}
    for name in _USAGE_KEPT:
        if usage.get(name) is not None:
            translated[name] = usage[name]
    return translated


def _count(usage: JsonObject, name: str) -> int:
    value = usage.get(name)
    return max(0, value) if isinstance(value, int) else 0
