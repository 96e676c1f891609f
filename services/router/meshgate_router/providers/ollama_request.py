"""A chat request in OpenAI's shape -> the body of Ollama's /api/chat: pure, JSON in and out.

Members that neither side's table knows become `options`, where Ollama's own (`num_ctx`, `repeat_penalty`,
...) live.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit
from meshgate_router.providers.ollama_messages import conversation
from meshgate_router.providers.request_body import (
    RequestBody,
    json_schema,
    passed_through,
    stop_sequences,
    token_limit,
)

# As in anthropic_request.py.
_UNSUPPORTED: Final[Mapping[str, Any]] = {
    "n": 1,
    "logit_bias": {},
    "functions": [],
    "function_call": "none",
    "audio": None,
    "modalities": ["text"],
    "prediction": None,
    "web_search_options": None,
}
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
        "user",
        "metadata",
        "response_format",
        "reasoning_effort",
        "thinking",
        "service_tier",
        "stream",
        "cache_control",
    }
)
_TOP_LEVEL: Final = frozenset({"format", "keep_alive", "think", "options", "logprobs", "top_logprobs"})
_EFFORTS: Final = ("minimal", "low", "medium", "high", "xhigh")
# Only these models know degrees; others think or do not.
_MODELS_WITH_LEVELS: Final = ("gpt-oss",)
_LEVELS: Final = {"minimal": "low", "xhigh": "high"}


def chat_body(request: RequestBody, *, stream: bool) -> JsonObject:
    """Raises ProviderError UNSUPPORTED_PARAMETER or FIELD_INVALID naming the member."""
    source = request.body
    rest = passed_through("ollama", request, _TRANSLATED, _UNSUPPORTED)
    body: JsonObject = {"model": source["model"], "messages": conversation(source.get("messages") or ())}
    body |= {name: value for name, value in rest.items() if name in _TOP_LEVEL}
    options = {name: value for name, value in rest.items() if name not in _TOP_LEVEL}
    limit, stop = token_limit(source), stop_sequences(source)
    if limit is not None:
        options["num_predict"] = limit
    if stop:
        options["stop"] = stop
    given = body.get("options")
    options.update(given if isinstance(given, dict) else {})
    if options:
        body["options"] = options
    tools = _tools(source)
    if tools:
        body["tools"] = tools
    _set_format(body, source)
    think = _think(source)
    if think is not None:
        body.setdefault("think", think)
    body["stream"] = stream  # Ollama streams unless it is told not to
    body.update(request.extra)
    return body


def _tools(source: JsonObject) -> list[Any]:
    """Ollama cannot be told to choose; a choice that leaves no choice is made by what is offered."""
    tools, choice = source.get("tools") or [], source.get("tool_choice")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise unfit(f"tools[{index}]", "is no function: Ollama knows no other tools")
    if choice == "none":
        return []
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        name = choice["function"].get("name")
        return [tool for tool in tools if tool.get("function", {}).get("name") == name]
    return list(tools)


def _set_format(body: JsonObject, source: JsonObject) -> None:
    wanted, schema = source.get("response_format"), json_schema(source)
    if schema is not None:
        body["format"] = schema["schema"]
    elif isinstance(wanted, dict) and wanted.get("type") == "json_object":
        body.setdefault("format", "json")


def _think(source: JsonObject) -> bool | str | None:
    thinking, effort = source.get("thinking"), source.get("reasoning_effort")
    if isinstance(thinking, dict):
        return thinking.get("type") != "disabled"
    if effort in (None, "default"):
        return None
    if effort in ("none", "disable"):
        return False
    if effort not in _EFFORTS:
        raise unfit("reasoning_effort", f"must be none, default or one of {', '.join(_EFFORTS)}")
    if str(source["model"]).startswith(_MODELS_WITH_LEVELS):
        return _LEVELS.get(effort, effort)
    return True
