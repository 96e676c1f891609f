"""OpenAI's messages -> Anthropic's `system` and `messages`: pure, JSON in and out.

System messages are collected wherever they stand. Neighbours of the same side become one turn, with
tool results first, because Anthropic wants them right after the calls. `cache_control` is kept.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.anthropic_parts import blocks_of, marked, text_block
from meshgate_router.providers.base import unfit
from meshgate_router.providers.tool_calls import call_arguments

_SYSTEM_ROLES: Final = ("system", "developer")
_FIRST_TURN: Final = "Begin."  # Anthropic wants a user's turn first; said only when there is none
_ID_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")


def conversation(messages: Sequence[Any]) -> tuple[list[JsonObject], list[JsonObject]]:
    """(system blocks, turns). Raises ProviderError FIELD_INVALID naming the message."""
    system: list[JsonObject] = []
    turns: list[JsonObject] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if not isinstance(message, dict):
            raise unfit(path, "must be an object")
        role = message.get("role")
        if role in _SYSTEM_ROLES:
            system += marked(blocks_of(message.get("content"), path), message)
        elif role == "assistant":
            _append(turns, "assistant", marked(_assistant(message, path), message))
        elif role == "tool":
            _append(turns, "user", [_tool_result(message, path)])
        elif role == "user":
            _append(turns, "user", marked(blocks_of(message.get("content"), path), message))
        else:
            raise unfit(f"{path}.role", f"{role!r} has no equivalent at Anthropic")
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [text_block(_FIRST_TURN)]})
    _trim_prefill(turns[-1])
    return system, turns


def _append(turns: list[JsonObject], role: str, blocks: list[JsonObject]) -> None:
    if not blocks:
        return
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": []})
    content = turns[-1]["content"]
    content += blocks
    content.sort(key=lambda block: block.get("type") != "tool_result")  # stable: the rest keeps its order


def _assistant(message: JsonObject, path: str) -> list[JsonObject]:
    thoughts = message.get("thinking_blocks")
    blocks = [block for block in thoughts if isinstance(block, dict)] if isinstance(thoughts, list) else []
    blocks += blocks_of(message.get("content"), path)
    if message.get("function_call") is not None:
        raise unfit(f"{path}.function_call", "has no equivalent at Anthropic: use tool_calls")
    for index, call in enumerate(message.get("tool_calls") or ()):
        blocks.append(_tool_use(call, f"{path}.tool_calls[{index}]"))
    return blocks


def _tool_use(call: Any, path: str) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise unfit(f"{path}.function", "is required")
    block = {
        "type": "tool_use",
        "id": _call_id(call.get("id"), f"{path}.id"),
        "name": function.get("name"),
        "input": call_arguments(function.get("arguments"), f"{path}.function.arguments"),
    }
    return marked([block], call)[0]


def _tool_result(message: JsonObject, path: str) -> JsonObject:
    content = message.get("content")
    block: JsonObject = {
        "type": "tool_result",
        "tool_use_id": _call_id(message.get("tool_call_id"), f"{path}.tool_call_id"),
    }
    block["content"] = content if isinstance(content, str) else blocks_of(content, path)
    if message.get("is_error") is True:
        block["is_error"] = True  # no member of OpenAI's, but tools do fail
    return marked([block], message)[0]


def _call_id(value: Any, path: str) -> str:
    """Anthropic takes letters, digits, _ and - only; calls and results change alike."""
    if not isinstance(value, str) or not value:
        raise unfit(path, "is required")
    return _ID_UNFIT.sub("_", value)


def _trim_prefill(turn: JsonObject) -> None:
    """The begun answer that the model is to continue must not end in white space."""
    if turn["role"] == "assistant" and turn["content"][-1].get("type") == "text":
        last = turn["content"][-1]
        turn["content"][-1] = {**last, "text": last["text"].rstrip()}
