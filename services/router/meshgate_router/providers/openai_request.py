"""A chat request in the dialect of one OpenAI-compatible provider: pure, JSON in and out."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unsupported
from meshgate_router.providers.openai_dialects import COMPATIBLE, Dialect
from meshgate_router.providers.request_body import RequestBody

_NOTHING: Final[tuple[Any, ...]] = (
    None,
    False,
    0,
    [],
    {},
)  # values that ask for nothing: leaving them out changes nothing


def dialect_body(request: RequestBody, dialect: Dialect, *, stream: bool) -> JsonObject:
    """Raises ProviderError UNSUPPORTED_PARAMETER."""
    body = request.body
    for name in dialect.unsupported & body.keys():
        if not request.drop_params and body[name] not in _NOTHING:
            raise unsupported(dialect.name, name)
        del body[name]
    for name in dialect.dropped & body.keys():
        del body[name]
    for name, other in dialect.renamed.items():
        if name in body:
            value = body.pop(name)
            body.setdefault(other, value)
    if dialect.required_choice != "required" and body.get("tool_choice") == "required":
        body["tool_choice"] = dialect.required_choice
    if dialect is not COMPATIBLE:
        body["messages"] = [_message(message, dialect) for message in body.get("messages") or ()]
    if dialect.model_prefix and "/" not in str(body["model"]):
        body["model"] = dialect.model_prefix + body["model"]
    _set_stream(body, dialect, stream=stream)
    body.update(request.extra)
    return body


def _set_stream(body: JsonObject, dialect: Dialect, *, stream: bool) -> None:
    if not stream:
        body.pop("stream", None)
        body.pop("stream_options", None)
        return
    body["stream"] = True
    if dialect.usage_asked:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}


def _message(message: Any, dialect: Dialect) -> Any:
    if not isinstance(message, dict):
        return message
    unwanted = dialect.message_members_dropped & message.keys()
    if unwanted:
        message = {name: value for name, value in message.items() if name not in unwanted}
    if message.get("role") == "developer" and not dialect.developer_known:
        message = {**message, "role": "system"}
    content = message.get("content")
    if dialect.text_parts_joined and isinstance(content, list) and content and all(map(_is_text, content)):
        message = {**message, "content": "".join(part["text"] for part in content)}
    return message


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def without_cache_marks(value: Any) -> Any:
    """The same JSON without any `cache_control` in messages' parts and tools, but for schemas' own names."""
    body = {**value, "messages": [_unmarked_message(item) for item in value.get("messages") or ()]}
    if isinstance(value.get("tools"), list):
        body["tools"] = [_unmarked(tool, "function") for tool in value["tools"]]
    body.pop("cache_control", None)
    return body


def _unmarked_message(message: Any) -> Any:
    message = _unmarked(message)
    if isinstance(message, dict) and isinstance(message.get("content"), list):
        message["content"] = [_unmarked(part) for part in message["content"]]
    return message


def _unmarked(value: Any, inner: str = "") -> Any:
    if not isinstance(value, dict):
        return value
    rest = {name: item for name, item in value.items() if name != "cache_control"}
    if inner in rest:
        rest[inner] = _unmarked(rest[inner])
    return rest
