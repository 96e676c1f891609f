"""Usage as OpenAI-compatible providers tell it -> OpenAI's own terms: pure.

Invariant: cached and cache-creation tokens are part of the prompt's, reasoning tokens of the completion's.
"""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
# Other names for the cached tokens: DeepSeek, Moonshot. Mistral's num_cached_tokens is what its engine had in
# memory, and gives no discount.
_CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens")


def usage_in(body: JsonObject) -> JsonObject | None:
    """The usage of an answer or an event, wherever it stands: groq and Moonshot have places of their own."""
    groq = body.get("x_groq")
    places = [body, groq if isinstance(groq, dict) else {}]
    choices = body.get("choices")
    places += [
        choice for choice in (choices if isinstance(choices, list) else ()) if isinstance(choice, dict)
    ]
    found = next((place["usage"] for place in places if isinstance(place.get("usage"), dict)), None)
    if not found or any(isinstance(found.get(name), int) and found[name] < 0 for name in _COUNTS):
        return None  # less than nothing is no count: better none than money back
    return normal_usage(found)


def normal_usage(usage: JsonObject) -> JsonObject:
    """The same, with what is known under other names; everything else stays."""
    normal = dict(usage)
    prompt_details = _object(usage.get("prompt_tokens_details"))
    cached = next((usage[name] for name in _CACHED if isinstance(usage.get(name), int)), None)
    added: JsonObject = {}
    if cached is not None and prompt_details.get("cached_tokens") is None:
        added["cached_tokens"] = cached
    written, prompt = prompt_details.get("cache_write_tokens"), _count(usage, "prompt_tokens")
    read = added.get("cached_tokens", _count(prompt_details, "cached_tokens"))
    if (
        isinstance(written, int) and written + read <= prompt
    ):  # OpenRouter sometimes counts one token as both.
        added["cache_creation_tokens"] = written
    if added:
        normal["prompt_tokens_details"] = {**prompt_details, **added}
    _count_reasoning(normal)
    return normal


def _count_reasoning(usage: JsonObject) -> None:
    """xAI counts reasoning beside the completion; the total gives it away."""
    reasoning = _object(usage.get("completion_tokens_details")).get("reasoning_tokens")
    counts = [usage.get(name) for name in _COUNTS]
    if (
        not isinstance(reasoning, int)
        or reasoning <= 0
        or not all(isinstance(count, int) for count in counts)
    ):
        return
    prompt, completion, total = (int(count or 0) for count in counts)
    if total == prompt + completion + reasoning:
        usage["completion_tokens"] = completion + reasoning


def _count(counts: JsonObject, name: str) -> int:
    value = counts.get(name)
    return value if isinstance(value, int) else 0


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
