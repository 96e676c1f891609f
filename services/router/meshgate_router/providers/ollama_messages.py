"""OpenAI's messages -> those of Ollama's /api/chat: pure, JSON in and out.

A content is one string there, pictures stand beside it, and arguments are objects. Ids of calls are left
out, because Ollama has none; results of tools say the function's name instead.
"""

from collections.abc import Sequence
from typing import Any

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit
from meshgate_router.providers.data_url import data_url
from meshgate_router.providers.tool_calls import call_arguments


def conversation(messages: Sequence[Any]) -> list[JsonObject]:
    """Raises ProviderError FIELD_INVALID naming the message."""
    names: dict[str, str] = {}  # of the functions, by the id of their call
    return [_message(message, f"messages[{index}]", names) for index, message in enumerate(messages)]


def _message(message: Any, path: str, names: dict[str, str]) -> JsonObject:
    if not isinstance(message, dict):
        raise unfit(path, "must be an object")
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant", "tool", "function"):
        raise unfit(f"{path}.role", f"{role!r} has no equivalent at Ollama")
    text, images = _content(message.get("content"), path)
    translated: JsonObject = {"role": {"developer": "system", "function": "tool"}.get(role, role)}
    translated["content"] = text
    if images:
        translated["images"] = images
    if role == "assistant":
        if isinstance(message.get("reasoning_content"), str):
            translated["thinking"] = message["reasoning_content"]
        calls = [
            _call(call, f"{path}.tool_calls[{index}]", names)
            for index, call in enumerate(message.get("tool_calls") or ())
        ]
        if calls:
            translated["tool_calls"] = calls
    elif translated["role"] == "tool":
        name = names.get(str(message.get("tool_call_id"))) or message.get("name")
        if isinstance(name, str):
            translated["tool_name"] = name
    return translated


def _content(content: Any, path: str) -> tuple[str, list[str]]:
    if content is None or isinstance(content, str):
        return content or "", []
    if not isinstance(content, list):
        raise unfit(f"{path}.content", "must be a string or a list")
    texts, images = [], []
    for index, part in enumerate(content):
        where = f"{path}.content[{index}]"
        if not isinstance(part, dict):
            raise unfit(where, "must be an object")
        kind = part.get("type")
        if kind in ("text", "refusal"):
            texts.append(str(part.get(kind, "")))
        elif kind == "image_url":
            images.append(_image(part.get("image_url"), f"{where}.image_url"))
        else:
            raise unfit(where, f"is of the type {kind!r}, which Ollama has nothing like")
    return "\n".join(texts), images


def _image(image: Any, path: str) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise unfit(f"{path}.url", "must be a string")
    if url.startswith(("http://", "https://")):
        raise unfit(
            f"{path}.url", "must hold the picture itself (data:...;base64,...): Ollama fetches nothing"
        )
    return data_url(url, f"{path}.url").base64


def _call(call: Any, path: str, names: dict[str, str]) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise unfit(f"{path}.function.name", "is required")
    if isinstance(call.get("id"), str):
        names[call["id"]] = function["name"]
    arguments = call_arguments(function.get("arguments"), f"{path}.function.arguments")
    return {"function": {"name": function["name"], "arguments": arguments}}
