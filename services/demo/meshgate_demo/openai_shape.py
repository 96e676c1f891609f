"""OpenAI's chat completions: body -> Question, Reply -> body or events. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshgate_demo import tokens
from meshgate_demo.conversation import (
    Choice,
    Event,
    InvalidRequestError,
    JsonObject,
    Question,
    Reply,
    Tool,
    ToolCall,
)

CHOICES_MAX = 16
TOOL_CALLS_MAX = 16
STOP_MAX = 16
DONE = Event(b"[DONE]")

_ERROR_TYPES: Mapping[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    408: ("invalid_request_error", "request_timeout"),
    429: ("requests", "rate_limit_exceeded"),
}


def question_of(body: JsonObject) -> Question:
    """Raises InvalidRequestError naming the parameter."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("messages must be a list with at least one message", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequestError("a message is an object with a role", f"messages[{index}].role")
    tools, forced = _tools(body)
    options = body.get("stream_options") or {}
    return Question(
        model=_text_member(body, "model"),
        last_user_text=_last_user_text(messages),
        tool_results=_tool_results(messages),
        tools=tools,
        tools_forced=forced,
        tool_calls_max=1 if body.get("parallel_tool_calls") is False else TOOL_CALLS_MAX,
        schema=_schema(body.get("response_format")),
        choices=_count(body, "n", CHOICES_MAX) or 1,
        stop=_stop(body.get("stop")),
        tokens_max=_count(body, "max_completion_tokens", None) or _count(body, "max_tokens", None),
        prompt_tokens=tokens.count_messages(messages, body.get("tools") or []),
        stream=body.get("stream") is True,
        stream_usage=isinstance(options, dict) and options.get("include_usage") is True,
        prefix=_prefix(messages[-1]),
    )


def body_of(reply: Reply) -> JsonObject:
    """The `chat.completion` object."""
    return {
        "id": _id(reply),
        "object": "chat.completion",
        "created": reply.created_s,
        "model": reply.question.model,
        "system_fingerprint": "fp_demo",
        "choices": [_choice(index, choice) for index, choice in enumerate(reply.choices)],
        "usage": _usage(reply),
    }


def events_of(reply: Reply) -> Iterator[Event]:
    """The stream: role, one chunk per token, finish reason, usage when asked, [DONE]."""
    for index, choice in enumerate(reply.choices):
        yield _chunk(reply, index, {"role": "assistant", "content": None if choice.tool_calls else ""})
        for piece in choice.text_pieces:
            yield _chunk(reply, index, {"content": piece}, tokens=1)
        for position, call in enumerate(choice.tool_calls):
            yield _chunk(reply, index, {"tool_calls": [_call_start(position, call)]})
            for piece in call.argument_pieces:
                part = {"index": position, "function": {"arguments": piece}}
                yield _chunk(reply, index, {"tool_calls": [part]}, tokens=1)
    for index, choice in enumerate(reply.choices):
        yield _chunk(reply, index, {}, finish_reason=choice.finish_reason)
    if reply.question.stream_usage:
        yield Event(_dumps({**_chunk_head(reply), "choices": [], "usage": _usage(reply)}))
    yield DONE


def error_body(status: int, message: str, number: int, parameter: str | None = None) -> JsonObject:
    """OpenAI's error object. `number`: of the request, unused by this shape."""
    del number
    kind, code = _ERROR_TYPES.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def error_event(status: int, message: str, number: int) -> Event:
    """An error in the middle of a stream, as OpenAI-compatible providers send it."""
    return Event(_dumps(error_body(status, message, number)))


def models_body(names: tuple[str, ...], created_s: int) -> JsonObject:
    """The answer of GET /v1/models."""
    models = [{"id": name, "object": "model", "created": created_s, "owned_by": "demo"} for name in names]
    return {"object": "list", "data": models}


def _text_member(body: JsonObject, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"{name} must be a string", name)
    return value


def _count(body: JsonObject, name: str, count_max: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequestError(f"{name} must be an integer of at least 1", name)
    if count_max is not None and value > count_max:
        raise InvalidRequestError(f"{name} must be at most {count_max}", name)
    return value


def _stop(value: object) -> tuple[str, ...]:
    sequences = [value] if isinstance(value, str) else value or []
    if not isinstance(sequences, list) or len(sequences) > STOP_MAX:
        raise InvalidRequestError(f"stop must be a string or at most {STOP_MAX} strings", "stop")
    return tuple(one for one in sequences if isinstance(one, str) and one)


def _tools(body: JsonObject) -> tuple[tuple[Tool, ...], bool]:
    choice = body.get("tool_choice", "auto")
    given = body.get("tools") or []
    if not isinstance(given, list):
        raise InvalidRequestError("tools must be a list", "tools")
    functions = [_function(tool, index) for index, tool in enumerate(given)]
    tools = tuple(Tool(one["name"], one.get("parameters") or {}) for one in functions)
    if choice == "none":
        return (), False
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        named = tuple(tool for tool in tools if tool.name == name)
        if not named:
            raise InvalidRequestError(f"tool_choice names {name!r}, which is not in tools", "tool_choice")
        return named, True
    return tools, choice == "required"


def _function(tool: object, index: int) -> Mapping[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidRequestError("a tool is an object with function.name", f"tools[{index}].function")
    return function


def _schema(response_format: object) -> Mapping[str, Any] | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return {}
    if response_format.get("type") != "json_schema":
        return None
    schema = (response_format.get("json_schema") or {}).get("schema")
    if not isinstance(schema, dict):
        raise InvalidRequestError("json_schema needs a schema", "response_format.json_schema.schema")
    return schema


def _text_of(content: object) -> str:
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _last_user_text(messages: list[JsonObject]) -> str:
    said = (message for message in reversed(messages) if message["role"] == "user")
    return _text_of(next(said, {}).get("content"))


def _prefix(last: JsonObject) -> str:
    return _text_of(last.get("content")) if last["role"] == "assistant" and not last.get("tool_calls") else ""


def _tool_results(messages: list[JsonObject]) -> tuple[str, ...]:
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, _text_of(message.get("content")))
    return tuple(results)


def _id(reply: Reply) -> str:
    return f"chatcmpl-demo-{reply.number}"


def _usage(reply: Reply) -> JsonObject:
    prompt, completion = reply.question.prompt_tokens, reply.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _choice(index: int, choice: Choice) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": "".join(choice.text_pieces), "refusal": None}
    if choice.tool_calls:
        message["content"] = None
        message["tool_calls"] = [_call(call) for call in choice.tool_calls]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish_reason}


def _call(call: ToolCall) -> JsonObject:
    arguments = "".join(call.argument_pieces)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _call_start(position: int, call: ToolCall) -> JsonObject:
    function = {"name": call.name, "arguments": ""}
    return {"index": position, "id": call.id, "type": "function", "function": function}


def _chunk_head(reply: Reply) -> JsonObject:
    return {
        "id": _id(reply),
        "object": "chat.completion.chunk",
        "created": reply.created_s,
        "model": reply.question.model,
        "system_fingerprint": "fp_demo",
    }


def _chunk(
    reply: Reply, index: int, delta: JsonObject, tokens: int = 0, finish_reason: str | None = None
) -> Event:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk: JsonObject = {**_chunk_head(reply), "choices": [choice]}
    if reply.question.stream_usage:
        chunk["usage"] = None
    return Event(_dumps(chunk), tokens)


def _dumps(value: JsonObject) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
