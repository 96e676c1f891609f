"""Anthropic's messages: body -> Question, Reply -> body or events. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from meshgate_demo import tokens
from meshgate_demo.conversation import Event, InvalidRequestError, JsonObject, Question, Reply, Tool, ToolCall

TOOL_CALLS_MAX = 16
STOP_MAX = 16

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def question_of(body: JsonObject) -> Question:
    """Raises InvalidRequestError naming the parameter."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise InvalidRequestError("messages: at least one message is required", "messages")
    for index, message in enumerate(messages):
        if message.get("role") not in {"user", "assistant"}:
            raise InvalidRequestError(
                f"messages.{index}.role: must be user or assistant", f"messages.{index}.role"
            )
    if not isinstance(body.get("model"), str):
        raise InvalidRequestError("model: Field required", "model")
    tokens_max = body.get("max_tokens")
    if isinstance(tokens_max, bool) or not isinstance(tokens_max, int) or tokens_max < 1:
        raise InvalidRequestError("max_tokens: must be an integer of at least 1", "max_tokens")
    choice = body.get("tool_choice") or {}
    tools = _tools(body, choice)
    return Question(
        model=body["model"],
        last_user_text=_last_user_text(messages),
        tool_results=_tool_results(messages[-1]),
        tools=tools,
        tools_forced=choice.get("type") in {"any", "tool"},
        tool_calls_max=1 if choice.get("disable_parallel_tool_use") is True else TOOL_CALLS_MAX,
        schema=None,
        choices=1,
        stop=tuple(body.get("stop_sequences") or ())[:STOP_MAX],
        tokens_max=tokens_max,
        prompt_tokens=tokens.count_messages(
            [{"content": body["system"]}, *messages] if body.get("system") else messages,
            body.get("tools") or [],
        ),
        stream=body.get("stream") is True,
        stream_usage=True,
        prefix=_prefix(messages[-1]),
    )


def body_of(reply: Reply) -> JsonObject:
    """The `message` object."""
    choice = reply.choices[0]
    calls = [_tool_use(call, json.loads(_whole(call))) for call in choice.tool_calls]
    text = [{"type": "text", "text": "".join(choice.text_pieces)}] if choice.text_pieces else []
    return {
        **_message(reply),
        "content": [*text, *calls],
        **_stop_reason(reply),
        "usage": _usage(reply, reply.completion_tokens),
    }


def events_of(reply: Reply) -> Iterator[Event]:
    """The stream of named events; one delta per token."""
    choice = reply.choices[0]
    start = {**_message(reply), "content": [], "stop_reason": None, "stop_sequence": None}
    yield _event("message_start", {"message": {**start, "usage": _usage(reply, 1)}})
    yield _event("ping", {})
    block = 0
    if choice.text_pieces:
        yield _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
        for piece in choice.text_pieces:
            yield _delta(0, {"type": "text_delta", "text": piece})
        yield _event("content_block_stop", {"index": 0})
        block = 1
    for index, call in enumerate(choice.tool_calls, start=block):
        yield _event("content_block_start", {"index": index, "content_block": _tool_use(call, {})})
        for piece in call.argument_pieces:
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield _event("content_block_stop", {"index": index})
    usage = {"output_tokens": reply.completion_tokens}
    yield _event("message_delta", {"delta": _stop_reason(reply), "usage": usage})
    yield _event("message_stop", {})


def error_body(status: int, message: str, number: int, parameter: str | None = None) -> JsonObject:
    """Anthropic's error object; it names the parameter in the message only."""
    del parameter
    error = {"type": _ERROR_TYPES.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": f"req_demo_{number}"}


def error_event(status: int, message: str, number: int) -> Event:
    """An error in the middle of a stream."""
    return Event(json.dumps(error_body(status, message, number)).encode(), name="error")


def _tools(body: JsonObject, choice: JsonObject) -> tuple[Tool, ...]:
    given = body.get("tools") or []
    if not all(isinstance(tool, dict) and isinstance(tool.get("name"), str) for tool in given):
        raise InvalidRequestError("tools: a tool is an object with a name", "tools")
    tools = tuple(Tool(tool["name"], tool.get("input_schema") or {}) for tool in given)
    if choice.get("type") == "none":
        return ()
    if choice.get("type") == "tool":
        tools = tuple(tool for tool in tools if tool.name == choice.get("name"))
        if not tools:
            raise InvalidRequestError(f"tool_choice: no tool {choice.get('name')!r}", "tool_choice")
    return tools


def _blocks(message: JsonObject) -> list[JsonObject]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _text(blocks: list[JsonObject]) -> str:
    return " ".join(block["text"] for block in blocks if isinstance(block.get("text"), str))


def _last_user_text(messages: list[JsonObject]) -> str:
    for message in reversed(messages):
        if message["role"] == "user" and (text := _text(_blocks(message))):
            return text
    return ""


def _prefix(last: JsonObject) -> str:
    """Raises InvalidRequestError, as Anthropic does, when it ends with white space."""
    prefix = _text(_blocks(last)) if last["role"] == "assistant" else ""
    if prefix != prefix.rstrip():
        raise InvalidRequestError("messages: final assistant content cannot end with trailing whitespace")
    return prefix


def _tool_results(message: JsonObject) -> tuple[str, ...]:
    results = [block for block in _blocks(message) if block.get("type") == "tool_result"]
    return tuple(_text(_blocks(block)) for block in results)


def _message(reply: Reply) -> JsonObject:
    model = reply.question.model
    return {"id": f"msg_demo_{reply.number}", "type": "message", "role": "assistant", "model": model}


def _usage(reply: Reply, output_tokens: int) -> JsonObject:
    return {
        "input_tokens": reply.question.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def _stop_reason(reply: Reply) -> JsonObject:
    choice = reply.choices[0]
    reason = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[choice.finish_reason]
    stopped = choice.stopped_by
    return {"stop_reason": "stop_sequence" if stopped else reason, "stop_sequence": stopped}


def _tool_use(call: ToolCall, arguments: Any) -> JsonObject:
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": arguments}


def _whole(call: ToolCall) -> str:
    """Its arguments; those that a token limit cut are left out, as they are no JSON."""
    text = "".join(call.argument_pieces)
    return text if text.endswith("}") else "{}"


def _event(name: str, body: JsonObject, event_tokens: int = 0) -> Event:
    data = json.dumps({"type": name, **body}, ensure_ascii=False, separators=(",", ":")).encode()
    return Event(data, event_tokens, name)


def _delta(index: int, delta: JsonObject) -> Event:
    return _event("content_block_delta", {"index": index, "delta": delta}, event_tokens=1)
