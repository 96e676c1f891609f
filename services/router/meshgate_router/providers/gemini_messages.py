"""OpenAI's messages -> Gemini's `systemInstruction` and `contents`: pure, JSON in and out.

System messages are collected wherever they stand. Neighbours of one side become one turn; the results of
tools are a turn of their own, because Gemini wants as many of them as there were calls. The signatures of
thoughts go back to where they came from (gemini_answer.py tells clients about them).
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit
from meshgate_router.providers.gemini_parts import parts_of, text_of_parts
from meshgate_router.providers.tool_calls import call_arguments

_SYSTEM_ROLES: Final = ("system", "developer")
_FIRST_TURN: Final = "Begin."  # Gemini wants a user's turn first; said only when there is none
# Google's own word for calls whose signature is not known, such as another provider's.
_NO_SIGNATURE: Final = b64encode(b"skip_thought_signature_validator").decode()


def conversation(messages: Sequence[Any], *, signed: bool) -> tuple[list[JsonObject], list[JsonObject]]:
    """(system parts, turns). `signed`: the model refuses calls without a signature.

    Raises ProviderError FIELD_INVALID naming the message.
    """
    system: list[JsonObject] = []
    turns: list[JsonObject] = []
    names: dict[str, str] = {}  # of the functions, by the id of their call
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if not isinstance(message, dict):
            raise unfit(path, "must be an object")
        role = message.get("role")
        if role in _SYSTEM_ROLES:
            system += parts_of(message.get("content"), path)
        elif role == "assistant":
            _append(turns, "model", _assistant(message, path, names, signed=signed))
        elif role in ("tool", "function"):
            _append(turns, "user", [_result(message, path, names)])
        elif role == "user":
            _append(turns, "user", parts_of(message.get("content"), path))
        else:
            raise unfit(f"{path}.role", f"{role!r} has no equivalent at Gemini")
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "parts": [{"text": _FIRST_TURN}]})
    return system, turns


def _append(turns: list[JsonObject], role: str, parts: list[JsonObject]) -> None:
    if not parts:
        return
    if turns and turns[-1]["role"] == role and _is_result(turns[-1]["parts"][0]) == _is_result(parts[0]):
        turns[-1]["parts"] += parts
    else:
        turns.append({"role": role, "parts": parts})


def _is_result(part: JsonObject) -> bool:
    return "functionResponse" in part


def _assistant(message: JsonObject, path: str, names: dict[str, str], *, signed: bool) -> list[JsonObject]:
    parts = parts_of(message.get("content"), path)
    signatures = _extra(message).get("thought_signatures")
    if isinstance(signatures, list) and signatures and parts and "text" in parts[-1]:
        parts[-1] = {**parts[-1], "thoughtSignature": signatures[-1]}
    calls = list(message.get("tool_calls") or ())
    if message.get("function_call") is not None:
        calls.append({"function": message["function_call"]})
    called = [_call(call, f"{path}.tool_calls[{index}]", names) for index, call in enumerate(calls)]
    if signed and called and not any("thoughtSignature" in part for part in called):
        called[0]["thoughtSignature"] = _NO_SIGNATURE
    return parts + called


def _call(call: Any, path: str, names: dict[str, str]) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise unfit(f"{path}.function.name", "is required")
    said: JsonObject = {"name": function["name"]}
    said["args"] = call_arguments(function.get("arguments"), f"{path}.function.arguments")
    if isinstance(call.get("id"), str):
        said["id"] = call["id"]
        names[call["id"]] = function["name"]
    part: JsonObject = {"functionCall": said}
    signature = _extra(call).get("thought_signature") or _extra(function).get("thought_signature")
    if isinstance(signature, str):
        part["thoughtSignature"] = signature
    return part


def _extra(owner: JsonObject) -> JsonObject:
    """Where clients keep signatures: as LiteLLM tells them, or as Google's OpenAI-compatible answers do."""
    fields, content = owner.get("provider_specific_fields"), owner.get("extra_content")
    google = content.get("google") if isinstance(content, dict) else None
    return {**(google if isinstance(google, dict) else {}), **(fields if isinstance(fields, dict) else {})}


def _result(message: JsonObject, path: str, names: dict[str, str]) -> JsonObject:
    called = message.get("tool_call_id")
    name = names.get(called) if isinstance(called, str) else None
    name = name or message.get("name")
    if not isinstance(name, str):
        raise unfit(f"{path}.tool_call_id", "is not the id of any call before it")
    text, media = text_of_parts(message.get("content"), path)
    result: JsonObject = {"name": name, "response": {"content": text}}
    if isinstance(called, str):
        result["id"] = called
    if media:
        result["parts"] = media
    return {"functionResponse": result}
