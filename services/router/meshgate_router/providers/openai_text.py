"""Legacy text completions behind the chat shape: a chat whose texts are the prompt, and back. Pure.

Used for the provider `text-completion-openai` and for deployments of the mode `completion`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit, unsupported
from meshgate_router.providers.request_body import RequestBody, token_limit

PATH: Final = "/completions"
_BETWEEN: Final = "\n"  # messages that become one prompt
# As in anthropic_request.py.
_UNSUPPORTED: Final[Mapping[str, Any]] = {
    "tools": [],
    "tool_choice": "none",
    "parallel_tool_calls": True,
    "functions": [],
    "function_call": "none",
    "response_format": {"type": "text"},
    "reasoning_effort": "none",
    "audio": None,
    "modalities": ["text"],
    "prediction": None,
    "web_search_options": None,
}
_TRANSLATED: Final = frozenset(
    {"messages", "prompt", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "stream"}
)
_DROPPED: Final = frozenset(
    {
        "metadata",
        "moderation",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "verbosity",
    }
)


def text_body(request: RequestBody, *, stream: bool) -> JsonObject:
    """Raises ProviderError UNSUPPORTED_PARAMETER or FIELD_INVALID naming the member."""
    source = request.body
    body: JsonObject = {"model": source["model"], "prompt": _prompt(source)}
    for name, value in source.items():
        if name in _TRANSLATED or name in _DROPPED or value is None:
            continue
        if name not in _UNSUPPORTED:
            body[name] = value
        elif not request.drop_params and value != _UNSUPPORTED[name]:
            raise unsupported("text completions", name)
    limit, logprobs = token_limit(source), _logprobs(source)
    if limit is not None:
        body["max_tokens"] = limit
    if logprobs is not None:
        body["logprobs"] = logprobs
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    body.update(request.extra)
    return body


def as_chat(body: JsonObject, said: str) -> None:
    """Makes the choices of a text completion, or of one of its events, those of a chat, in place.

    `said`: `message` or `delta`.
    """
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("text"), str) and said not in choice:
            choice[said] = {"role": "assistant", "content": choice.pop("text")}
            body["object"] = "chat.completion" if said == "message" else "chat.completion.chunk"


def _prompt(source: JsonObject) -> Any:
    """The client's own prompt if it is there (it may be a list, or of tokens), else the messages' texts."""
    if source.get("prompt") is not None:
        return source["prompt"]
    texts = [
        _text(message, f"messages[{index}]") for index, message in enumerate(source.get("messages") or ())
    ]
    return _BETWEEN.join(text for text in texts if text)


def _text(message: Any, path: str) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence):
        raise unfit(f"{path}.content", "must be a string or a list")
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise unfit(
                f"{path}.content[{index}]", "must be text: the prompt of a text completion is one text"
            )
    return "".join(part["text"] for part in content)


def _logprobs(source: JsonObject) -> Any:
    """A number here; a chat says whether, and how many beside it."""
    logprobs = source.get("logprobs")
    if isinstance(logprobs, bool):
        return (source.get("top_logprobs") or 0) if logprobs else None
    return logprobs
