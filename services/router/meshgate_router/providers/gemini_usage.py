"""Gemini's usageMetadata -> usage in OpenAI's shape: pure."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject

# Tokens of Google's own tools are billed apart from the prompt.
_KEPT: Final = {"toolUsePromptTokenCount": "tool_use_prompt_tokens", "trafficType": "traffic_type"}


def usage_of(usage: JsonObject) -> JsonObject:
    """OpenAI counts thoughts as part of the completion, Gemini beside it."""
    prompt = _count(usage, "promptTokenCount")
    thoughts = _count(usage, "thoughtsTokenCount")
    # The live API's name for the same count is responseTokenCount.
    completion = _count(usage, "candidatesTokenCount") or _count(usage, "responseTokenCount")
    total = _count(usage, "totalTokenCount") or prompt + completion + thoughts
    prompt_details = _less(_by_modality(usage.get("promptTokensDetails")), usage.get("cacheTokensDetails"))
    completion_details = _by_modality(usage.get("candidatesTokensDetails"))
    translated: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion + thoughts,
        "total_tokens": total,
        "prompt_tokens_details": {
            "cached_tokens": _count(usage, "cachedContentTokenCount"),
            **prompt_details,
        },
        "completion_tokens_details": {"reasoning_tokens": thoughts, **completion_details},
    }
    for name, ours in _KEPT.items():
        if usage.get(name) is not None:
            translated[ours] = usage[name]
    return translated


def _by_modality(details: Any) -> JsonObject:
    found: JsonObject = {}
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict) and isinstance(item.get("modality"), str):
            name = f"{item['modality'].lower()}_tokens"
            found[name] = found.get(name, 0) + _count(item, "tokenCount")
    return found


def _less(found: JsonObject, cached: Any) -> JsonObject:
    """Without what was read from the cache, which has a price of its own and is told in `cached_tokens`."""
    read = _by_modality(cached)
    return {name: max(0, count - read.get(name, 0)) for name, count in found.items()}


def _count(usage: JsonObject, name: str) -> int:
    value = usage.get(name)
    return max(0, value) if isinstance(value, int) else 0
