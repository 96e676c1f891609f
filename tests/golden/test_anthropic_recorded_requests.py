"""Recorded Anthropic requests survive the way to OpenAI's shape (test code) and back (the router)."""

import json
from typing import Any

import pydantic
import pytest
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)

from meshgate_chassis.chat.request_json import request_from_json
from meshgate_router.providers.anthropic import AnthropicProvider
from tests.golden.anthropic_to_openai import openai_request
from tests.support.cassettes import chat_exchanges
from tests.support.deployments import deployment

COMPARED_MIN = 100  # of 157; the others use what OpenAI's shape cannot say (see cassettes.py)


def translated(body: dict[str, Any]) -> dict[str, Any]:
    where = deployment("claude", "anthropic", upstream_model=body["model"])
    request = AnthropicProvider().request(request_from_json(body), where, stream=bool(body.get("stream")))
    return json.loads(request.body)


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """The same request in the one form that the router writes."""
    body = {name: value for name, value in request.items() if value not in (None, [])}
    if body.get("stream") is False:
        del body["stream"]
    if isinstance(body.get("system"), str):
        body["system"] = [{"type": "text", "text": body["system"]}]
    turns: list[dict[str, Any]] = []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [block for block in blocks if block["type"] != "text" or block["text"].strip()]
        blocks = [
            {k: v for k, v in block.items() if k != "caller" and (k, v) != ("is_error", False)}
            for block in blocks
        ]
        order = ("thinking", "redacted_thinking", "tool_result", "text", "image", "tool_use")
        blocks = sorted(blocks, key=lambda block: order.index(block["type"].replace("image", "text")))
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    body["messages"] = turns
    if "tools" not in body:
        body.pop("tool_choice", None)
    else:
        body["tools"] = [
            {k: v for k, v in tool.items() if k != "strict" and v != "custom"} for tool in body["tools"]
        ]
    choice = body.get("tool_choice")
    if choice and choice.get("disable_parallel_tool_use") is False:
        body["tool_choice"] = {k: v for k, v in choice.items() if k != "disable_parallel_tool_use"}
    return body


def test_requests_survive() -> None:
    """System, turns, tools, results, images, thinking, cache marks and limits are what they were."""
    compared = 0
    for exchange in chat_exchanges("anthropic"):
        body = openai_request(exchange.request)
        if body is not None:
            compared += 1
            assert normal(exchange.request) == translated(body), exchange
    assert compared >= COMPARED_MIN


@pytest.mark.parametrize("provider", ["openai", "groq", "mistral", "openrouter"])
def test_openai_requests_become_valid_anthropic_requests(provider: str) -> None:
    """Recorded OpenAI requests, translated, are of the type that Anthropic's own SDK declares."""
    types = {
        False: pydantic.TypeAdapter(MessageCreateParamsNonStreaming),
        True: pydantic.TypeAdapter(MessageCreateParamsStreaming),
    }
    checked = 0
    for exchange in chat_exchanges(provider):
        if (
            exchange.prefix != provider
            or exchange.status != 200
            or _says_what_anthropic_cannot(exchange.request)
        ):
            continue
        body = translated({**exchange.request, "model": "claude", "drop_params": True})
        types[bool(body.get("stream"))].validate_python(body)
        checked += 1
    assert checked > 0


def _says_what_anthropic_cannot(request: dict[str, Any]) -> bool:
    """Legacy function messages, audio, and files by another provider's id."""
    text = json.dumps(request["messages"])
    return any(
        name in text for name in ('"function_call"', '"role": "function"', '"input_audio"', '"file_id"')
    )
