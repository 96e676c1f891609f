"""A chat request in OpenAI's shape -> the parameters of Anthropic's Messages: pure, JSON in and out.

Messages are in anthropic_messages.py, tools in anthropic_tools.py. Members that neither side's table
knows go through as they are, so that Anthropic's own parameters (`thinking`, `top_k`, ...) can be used.
"""

import re
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.anthropic_messages import conversation
from meshgate_router.providers.anthropic_models import samples_by_itself
from meshgate_router.providers.anthropic_thinking import set_thinking
from meshgate_router.providers.anthropic_tools import set_tools
from meshgate_router.providers.request_body import (
    RequestBody,
    passed_through,
    stop_sequences,
    token_limit,
)

MAX_TOKENS_DEFAULT: Final = 4_096

# Nothing like them exists; the value is what asks for nothing and is therefore no reason to refuse.
_UNSUPPORTED: Final[dict[str, Any]] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "seed": None,
    "functions": [],
    "function_call": "none",
    "audio": None,
    "modalities": ["text"],
    "prediction": None,
    "web_search_options": None,
}
_TRANSLATED: Final = frozenset(
    {
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
        "service_tier",
        "stream",
    }
)
_SAMPLING: Final[dict[str, Any]] = {"temperature": 1, "top_p": 1, "top_k": 0}
_SERVICE_TIERS: Final = frozenset({"auto", "standard_only"})
# Anthropic asks for no personal data in user_id.
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE: Final = re.compile(r"\+?[\d\s().-]{7,}")


def messages_body(request: RequestBody, *, stream: bool) -> tuple[JsonObject, bool]:
    """The body, and whether the answer will be in the arguments of JSON_TOOL.

    Raises ProviderError UNSUPPORTED_PARAMETER or FIELD_INVALID naming the member.
    """
    source = request.body
    unsupported = _UNSUPPORTED | _SAMPLING if samples_by_itself(source["model"]) else _UNSUPPORTED
    body = passed_through("anthropic", request, _TRANSLATED, unsupported)
    system, messages = conversation(source.get("messages") or ())
    if system:
        body["system"] = system
    body["messages"] = messages
    body["max_tokens"] = MAX_TOKENS_DEFAULT
    limit = token_limit(source)
    if limit is not None:
        body["max_tokens"] = limit
    _set_stop(body, source, drop_params=request.drop_params)
    _set_metadata(body, source)
    set_thinking(body, source, limit_given=limit is not None)
    json_answer = set_tools(body, source)
    if source.get("service_tier") in _SERVICE_TIERS:
        body["service_tier"] = source["service_tier"]
    if stream:
        body["stream"] = True
    body.update(request.extra)
    return body, json_answer


def _set_stop(body: JsonObject, source: JsonObject, *, drop_params: bool) -> None:
    sequences = stop_sequences(source)
    if drop_params:
        sequences = [item for item in sequences if item.strip()]  # Anthropic refuses white space alone
    if sequences:
        body["stop_sequences"] = sequences


def _set_metadata(body: JsonObject, source: JsonObject) -> None:
    metadata = source.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    user = source.get("user") if user is None else user
    if isinstance(user, str) and user and not _EMAIL.fullmatch(user) and not _PHONE.fullmatch(user):
        body["metadata"] = {"user_id": user}
