"""validate_request: strict in types, liberal in values, and it names the member."""

from typing import Any

import pytest

from meshgate_chassis.chat.validate import validate_request
from meshgate_chassis.errors import Code, MeshError

USER = {"role": "user", "content": "hi"}
LONG = {**USER, "name": "n"}  # Past the fast path of the ordinary message.


def path_of(body: dict[str, Any]) -> str:
    with pytest.raises(MeshError) as caught:
        validate_request(body)
    assert (Code.INVALID_ARGUMENT, "FIELD_INVALID") == (caught.value.code, caught.value.reason)
    (path,) = caught.value.fields
    return path


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 1}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [USER] * 10_001}, "messages"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": []}, "top_p"),
        ({"n": "2"}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_completion_tokens": True}, "max_completion_tokens"),
        ({"seed": 0.5}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"stop": 1}, "stop"),
        ({"stop": ["a", None]}, "stop[1]"),
        ({"user": 1}, "user"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"response_format": "json"}, "response_format"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": 1, "function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            "tools[0].function.parameters",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]},
            "tools[0].function.strict",
        ),
    ],
)
def test_wrong_requests_name_the_member(changes: dict[str, Any], path: str) -> None:
    """One wrong member, one path."""
    body = {"model": "m", "messages": [USER], **changes}
    assert path == path_of({name: value for name, value in body.items() if value is not None})
    if changes == dict.fromkeys(changes):
        assert path == path_of(body)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("hi", ""),
        (None, ""),
        ({"content": "hi"}, ".role"),
        ({"role": None, "content": "hi"}, ".role"),
        ({"role": 1, "content": "hi"}, ".role"),
        ({"role": "", "content": "hi"}, ".role"),
        ({"role": "user", "content": 1}, ".content"),
        ({"role": "user", "content": {}}, ".content"),
        ({"role": "user", "content": ["hi"]}, ".content[0]"),
        ({"role": "user", "content": [{"text": "hi"}]}, ".content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, ".content[0].text"),
        ({"role": "user", "content": [{"type": "text", "text": 1}]}, ".content[0].text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, ".content[0].image_url"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            ".content[0].image_url.url",
        ),
        ({**USER, "name": 1}, ".name"),
        ({**USER, "tool_call_id": 1}, ".tool_call_id"),
        ({**USER, "tool_calls": {}}, ".tool_calls"),
        ({**USER, "tool_calls": [1]}, ".tool_calls[0]"),
        ({**USER, "tool_calls": [{"id": 1}]}, ".tool_calls[0].id"),
        ({**USER, "tool_calls": [{"function": {}}]}, ".tool_calls[0].function.name"),
        (
            {**USER, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            ".tool_calls[0].function.arguments",
        ),
    ],
)
def test_wrong_messages_name_the_member(message: Any, path: str) -> None:
    """The path counts messages from 0."""
    assert f"messages[1]{path}" == path_of({"model": "m", "messages": [USER, message]})


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 7, "top_p": -1, "n": 0, "max_tokens": -5},
        {
            "temperature": None,
            "n": None,
            "stream": None,
            "stop": None,
            "tools": None,
            "tool_choice": None,
            "user": None,
            "stream_options": None,
            "response_format": None,
        },
        {"stream_options": {"include_usage": True}},
        {"stop": [], "tools": []},
        {"tools": [{"type": "web_search"}, {"function": {"name": "f"}}]},
        {"model": "m" * 256, "messages": [USER] * 10_000},
        {"messages": [{"role": "control", "content": ""}]},
        {"messages": [{"role": "assistant"}, {"role": "assistant", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "unheard_of"}]}]},
        {"messages": [LONG, {**LONG, "tool_calls": None, "refusal": None}]},
        {"unknown": {"temperature": "hot"}, "metadata": 1},
    ],
)
def test_odd_values_pass(changes: dict[str, Any]) -> None:
    """Ranges, names and unknown members are for providers to judge; a null is absence."""
    validate_request({"model": "m", "messages": [USER], **changes})


def test_missing_members_are_named() -> None:
    """An empty object lacks a model first."""
    assert "model" == path_of({})
    assert "messages" == path_of({"model": "m"})
