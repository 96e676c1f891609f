"""Requests and answers of the demo provider, in few words."""

import json
from typing import Any

import aiohttp

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"

WEATHER = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "days": {"type": "integer", "maximum": 7}},
    "required": ["location", "days"],
}
WEATHER_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}


def chat(text: str = "What is the capital of France?", **more: Any) -> dict[str, Any]:
    """A body for either endpoint; Anthropic's needs max_tokens."""
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


def data_of(stream: bytes) -> list[Any]:
    """The payloads of a whole SSE body; [DONE] stays a string."""
    payloads = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return ["[DONE]" if one == b"[DONE]" else json.loads(one) for one in payloads]


def text_of(chunks: list[Any], index: int = 0) -> str:
    """The text of one choice of OpenAI's stream."""
    deltas = [
        choice["delta"].get("content") or ""
        for chunk in chunks
        if isinstance(chunk, dict)
        for choice in chunk["choices"]
        if choice["index"] == index
    ]
    return "".join(deltas)


async def served(client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """What GET /demo/requests remembers."""
    async with client.get("/demo/requests") as answer:
        return (await answer.json())["requests"]
