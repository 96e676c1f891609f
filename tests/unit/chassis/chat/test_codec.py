"""The codec puts what meshgate acts on into typed fields, and only what fits."""

from typing import Any

import pytest

from meshgate_chassis.chat.chunk_json import chunk_from_json, chunk_to_json
from meshgate_chassis.chat.json import loads
from meshgate_chassis.chat.request_json import request_from_json, request_to_json
from meshgate_chassis.chat.response_json import response_from_json, response_to_json
from meshgate_protos.chat.v1 import chat_pb2 as pb

REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "u", "detail": "low", "x": 1}, "y": 2},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "because",
            "refusal": "no",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}],
        },
        {"role": "tool", "tool_call_id": "c", "name": "f", "content": ""},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {"type": "object"},
                "strict": True,
                "x": 1,
            },
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "max_tokens": 1,
    "max_completion_tokens": 2,
    "temperature": 0,
    "top_p": 0.5,
    "n": 3,
    "seed": -4,
    "stop": ["a", "b"],
    "user": "u",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "stream_options": {"include_usage": True},
    "stream": True,
    "logit_bias": {"1": 2},
}


def test_a_full_request_is_typed() -> None:
    """Every member that has a typed field is in it; extra_json holds the one unknown member."""
    request = request_from_json(REQUEST)
    assert {"logit_bias": {"1": 2}} == loads(request.extra_json)
    unset = {field.name for field in pb.ChatRequest.DESCRIPTOR.fields}
    unset -= {field.name for field, _ in request.ListFields()}
    assert set() == unset
    system, user, assistant, tool = request.messages
    assert ("system", "s", b"") == (system.role, system.text, system.extra_json)
    text, image, audio = user.parts.parts
    assert "t" == text.text.text
    assert {"cache_control": {"type": "ephemeral"}} == loads(text.text.extra_json)
    assert ("u", "low") == (image.image_url.url, image.image_url.detail)
    assert {"x": 1} == loads(image.image_url.image_url_extra_json)
    assert {"y": 2} == loads(image.image_url.extra_json)
    assert "input_audio" == loads(audio.raw_json)["type"]
    assert assistant.WhichOneof("content") is None
    assert {"content": None} == loads(assistant.extra_json)
    assert ("because", "no") == (assistant.reasoning_content, assistant.refusal)
    call = assistant.tool_calls[0]
    assert ("c", "function") == (call.id, call.type)
    assert ("f", "{") == (call.function.name, call.function.arguments)
    assert ("c", "f", "text") == (tool.tool_call_id, tool.name, tool.WhichOneof("content"))
    function = request.tools[0].function
    assert ("f", "d", True) == (function.name, function.description, function.strict)
    assert {"x": 1} == loads(function.function_extra_json)
    assert b'{"type":"web_search"}' == request.tools[1].raw_json
    assert "f" == request.tool_choice.function
    assert ["a", "b"] == list(request.stop.sequences)
    assert REQUEST == request_to_json(request)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("model", ""),
        ("model", 1),
        ("messages", []),
        ("messages", [{"role": "user"}, 1]),
        ("tools", None),
        ("tools", []),
        ("tool_choice", None),
        ("max_tokens", True),
        ("max_tokens", 1.0),
        ("max_tokens", 2**63),
        ("temperature", "hot"),
        ("temperature", 2**53 + 1),
        ("temperature", False),
        ("stop", None),
        ("stop", ["a", 1]),
        ("response_format", None),
        ("stream", 0),
    ],
)
def test_what_does_not_fit_stays_extra(member: str, value: Any) -> None:
    """A wrong type, a null or an empty list keeps its name and value, and leaves the field unset."""
    request = request_from_json({member: value})
    assert ["extra_json"] == [field.name for field, _ in request.ListFields()]
    assert {member: value} == request_to_json(request)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("auto", "mode"),
        ({"type": "function", "function": {"name": "f"}}, "function"),
        ({"type": "function", "function": {"name": "f", "x": 1}}, "raw_json"),
        ({"type": "function", "function": {"name": "f"}, "x": 1}, "raw_json"),
        ({"type": "allowed_tools", "allowed_tools": {}}, "raw_json"),
        ([1], "raw_json"),
    ],
)
def test_tool_choices(value: Any, kind: str) -> None:
    """A choice that says more than the typed forms can is kept whole."""
    request = request_from_json({"tool_choice": value})
    assert kind == request.tool_choice.WhichOneof("choice")
    assert {"tool_choice": value} == request_to_json(request)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": ""}},
        {"type": "function", "function": {"description": "nameless"}},
        {"type": "function", "function": None},
        {"function": {"name": "typeless"}},
        {"type": "web_search"},
        None,
    ],
)
def test_a_tool_that_is_no_function_is_kept_whole(tool: Any) -> None:
    """Only a function with a type and a name is typed."""
    request = request_from_json({"tools": [tool]})
    assert "raw_json" == request.tools[0].WhichOneof("tool")
    assert {"tools": [tool]} == request_to_json(request)


def test_a_single_stop_stays_single() -> None:
    """A string and a list of one string differ."""
    for stop in ("a", ["a"], []):
        assert {"stop": stop} == request_to_json(request_from_json({"stop": stop}))


def test_a_field_set_later_wins_over_an_extra_member() -> None:
    """A service that sets a typed field need not clean up extra_json."""
    chunk = chunk_from_json({"id": "", "usage": None, "choices": []})
    chunk.id = "x"
    chunk.usage.prompt_tokens = 0
    chunk.choices.add(index=0)
    expected = {"id": "x", "choices": [{"index": 0}], "usage": {"prompt_tokens": 0}}
    assert expected == chunk_to_json(chunk)


def test_zeros_and_empty_objects_are_present() -> None:
    """What is present and zero stays present."""
    body: dict[str, Any] = {
        "choices": [{"index": 0, "message": {}, "finish_reason": ""}, {}],
        "usage": {"prompt_tokens": 0, "prompt_tokens_details": {}, "completion_tokens_details": {}},
    }
    response = response_from_json(body)
    assert b"" == response.extra_json
    assert body == response_to_json(response)


def test_a_chunk_is_typed() -> None:
    """The members of a streamed event are in their typed fields."""
    body = {
        "id": "i",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 1,
                "delta": {
                    "role": "assistant",
                    "content": "",
                    "reasoning_content": "r",
                    "refusal": None,
                    "tool_calls": [{"index": 0, "id": "c", "function": {"arguments": ""}}],
                },
                "finish_reason": "stop",
            }
        ],
    }
    chunk = chunk_from_json(body)
    assert ("i", 5, "m") == (chunk.id, chunk.created, chunk.model)
    choice = chunk.choices[0]
    assert (1, "stop", b"") == (choice.index, choice.finish_reason, choice.extra_json)
    assert ("assistant", "r") == (choice.delta.role, choice.delta.reasoning_content)
    assert choice.delta.HasField("content")
    assert b'{"refusal":null}' == choice.delta.extra_json
    assert choice.delta.tool_calls[0].function.HasField("arguments")
    assert body == chunk_to_json(chunk)
