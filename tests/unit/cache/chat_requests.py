"""A chat request with something in every place that a key must see."""

import json

from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

JsonValue = object


def text(value: JsonValue, *, reverse: bool = False) -> bytes:
    """JSON text of a value; `reverse` writes the members of every object the other way round."""
    return json.dumps(_reversed(value) if reverse else value, indent=1 if reverse else None).encode()


def _reversed(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _reversed(member) for name, member in reversed(list(value.items()))}
    if isinstance(value, list):
        return [_reversed(item) for item in value]
    return value


SOME = {"b": 1, "a": {"d": 2.5, "c": ["x", {"f": None, "e": True}]}, "é": "ü"}


def full_chat(*, reverse: bool = False) -> chat_pb.ChatRequest:
    """Two calls with and without `reverse` mean the same request."""
    some = text(SOME, reverse=reverse)
    return chat_pb.ChatRequest(
        model="group",
        messages=_messages(some),
        tools=_tools(some),
        tool_choice=chat_pb.ToolChoice(raw_json=some),
        parallel_tool_calls=True,
        max_tokens=10,
        max_completion_tokens=11,
        temperature=0.5,
        top_p=0.9,
        n=2,
        seed=7,
        stop=chat_pb.Stop(sequences=["."], single=True),
        user="u",
        reasoning_effort="low",
        response_format_json=some,
        stream_options_json=text({"include_usage": True}),
        stream=True,
        extra_json=some,
    )


def _messages(some: bytes) -> list[chat_pb.Message]:
    image = chat_pb.ImageUrlPart(
        url="https://example.org/a.png", detail="low", image_url_extra_json=some, extra_json=some
    )
    parts = [
        chat_pb.ContentPart(text=chat_pb.TextPart(text="What is this?", extra_json=some)),
        chat_pb.ContentPart(image_url=image),
        chat_pb.ContentPart(raw_json=some),
    ]
    function = chat_pb.FunctionCall(name="f", arguments='{"a": 1}', extra_json=some)
    call = chat_pb.ToolCall(id="call_1", type="function", function=function, extra_json=some)
    return [
        chat_pb.Message(role="system", text="Be brief.", name="n", extra_json=some),
        chat_pb.Message(role="user", parts=chat_pb.ContentParts(parts=parts)),
        chat_pb.Message(role="assistant", refusal="no", reasoning_content="because", tool_calls=[call]),
        chat_pb.Message(role="tool", text="42", tool_call_id="call_1"),
    ]


def _tools(some: bytes) -> list[chat_pb.Tool]:
    function = chat_pb.FunctionTool(
        name="f",
        description="d",
        parameters_json=some,
        strict=True,
        function_extra_json=some,
        extra_json=some,
    )
    return [chat_pb.Tool(function=function), chat_pb.Tool(raw_json=some)]
