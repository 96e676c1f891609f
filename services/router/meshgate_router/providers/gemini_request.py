"""A chat request in OpenAI's shape -> the body of Gemini's generateContent: pure, JSON in and out.

Messages are in gemini_messages.py, thinking in gemini_thinking.py. Members that neither side's table knows
go through as they are, so that Gemini's own (`safetySettings`, `cachedContent`, ...) can be used.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit, unsupported
from meshgate_router.providers.gemini_messages import conversation
from meshgate_router.providers.gemini_parts import media_resolution
from meshgate_router.providers.gemini_thinking import thinking_config, version_of
from meshgate_router.providers.gemini_tools import set_tools
from meshgate_router.providers.request_body import (
    RequestBody,
    json_schema,
    passed_through,
    stop_sequences,
    token_limit,
)

# As in anthropic_request.py.
_UNSUPPORTED: Final[Mapping[str, Any]] = {
    "logit_bias": {},
    "functions": [],
    "function_call": "none",
    "audio": None,
    "prediction": None,
}
_CONFIG_NAMES: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_OWN_NAMES: Final[Mapping[str, str]] = {
    "safety_settings": "safetySettings",
    "cached_content": "cachedContent",
    "generation_config": "generationConfig",
}
_CONFIG: Final = "generationConfig"
# `parallel_tool_calls`: Gemini decides by itself. `service_tier`, `user` and `metadata` are for OpenAI.
_TRANSLATED: Final = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "logprobs",
        "top_logprobs",
        "modalities",
        "user",
        "metadata",
        "response_format",
        "reasoning_effort",
        "thinking",
        "service_tier",
        "stream",
        "web_search_options",
        "cache_control",
        *_CONFIG_NAMES,
    }
)
_MODALITIES: Final = ("text", "image")


def generate_body(request: RequestBody) -> JsonObject:
    """Raises ProviderError UNSUPPORTED_PARAMETER or FIELD_INVALID naming the member."""
    source = request.body
    model = source["model"]
    body = passed_through("gemini", request, _TRANSLATED, _UNSUPPORTED)
    body = {_OWN_NAMES.get(name, name): value for name, value in body.items()}
    messages = source.get("messages") or []
    system, contents = conversation(messages, signed=version_of(model) >= (3, 0))
    if system:
        body["systemInstruction"] = {"parts": system}
    body["contents"] = contents
    set_tools(body, source)
    config = _config(request, media_resolution(messages))
    own = body.get(_CONFIG)
    config.update(own if isinstance(own, dict) else {})
    for name, value in request.extra.items():
        name = _OWN_NAMES.get(name, name)
        if name == _CONFIG and isinstance(value, dict):
            config.update(value)
        else:
            body[name] = value
    if config:
        body[_CONFIG] = config
    return body


def _config(request: RequestBody, resolution: str | None) -> JsonObject:
    source = request.body
    config = {theirs: source[name] for name, theirs in _CONFIG_NAMES.items() if source.get(name) is not None}
    found = {
        "maxOutputTokens": token_limit(source),
        "stopSequences": stop_sequences(source) or None,
        "thinkingConfig": thinking_config(source["model"], source),
        "mediaResolution": resolution,
        "responseModalities": _modalities(request),
    }
    config |= {name: value for name, value in found.items() if value is not None}
    if source.get("logprobs"):
        config["responseLogprobs"] = True
        if source.get("top_logprobs"):
            config["logprobs"] = source["top_logprobs"]
    _set_format(config, source)
    return config


def _set_format(config: JsonObject, source: JsonObject) -> None:
    wanted = source.get("response_format")
    schema = json_schema(source)
    if schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = schema["schema"]
    elif isinstance(wanted, dict) and wanted.get("type") == "json_object":
        config["responseMimeType"] = "application/json"


def _modalities(request: RequestBody) -> list[str] | None:
    wanted = request.body.get("modalities")
    if wanted is None:
        return None
    if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        raise unfit("modalities", "must be a list of strings")
    known = [item for item in wanted if item in _MODALITIES]
    if len(known) < len(wanted) and not request.drop_params:
        raise unsupported("gemini", "modalities")
    return [item.upper() for item in known] if known not in ([], ["text"]) else None
