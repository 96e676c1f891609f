"""What the official Python client reads from the cache is what it read from the provider, streamed or not.

The four ways to get an answer (a miss or a hit, whole or as a stream) end in the same object.
"""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.support.eventually import eventually
from tests.support.running_mesh import RunningMesh

MODEL = "demo"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string"}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    """A JSON schema."""

    name: str
    population: int
    twin_towns: list[str]


KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "several choices": {"n": 3},
    "a tool call": {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    },
    "parallel tool calls": {"tools": [WEATHER, TIME], "tool_choice": "required"},
    "several choices with tools": {"tools": [WEATHER], "tool_choice": "required", "n": 2},
    "a JSON schema": {"response_format": City},
    "a JSON object": {"response_format": {"type": "json_object"}},
}
NUMBERS = itertools.count()


@pytest.fixture
async def client(started_mesh: RunningMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{started_mesh.url}/v1", api_key=started_mesh.master_key, max_retries=0, timeout=30
    ) as client:
        yield client


async def whole(client: openai.AsyncOpenAI, members: dict[str, Any]) -> tuple[str, ChatCompletion]:
    """X-Cache-Status and the parsed answer."""
    raw = await client.chat.completions.with_raw_response.parse(**members)
    return raw.headers["x-cache-status"], raw.parse()


async def streamed(client: openai.AsyncOpenAI, members: dict[str, Any]) -> tuple[str, ChatCompletion]:
    """As `whole`, put together by the client from a stream."""
    usage = {"include_usage": True}
    async with client.chat.completions.stream(**members, stream_options=usage) as events:
        status = events._response.headers["x-cache-status"]
        return status, await events.get_final_completion()


def comparable(answer: ChatCompletion) -> dict[str, Any]:
    """What must be equal: everything but what only the gateway adds to whole answers, and what was absent."""
    told = answer.model_dump(exclude_none=True, exclude={"cost"}, warnings=False)
    told["usage"] = {name: value for name, value in told["usage"].items() if isinstance(value, int)}
    for choice in told["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
    return told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [whole, streamed], ids=["whole first", "streamed first"])
async def test_hit_and_miss_are_the_same_object(client: openai.AsyncOpenAI, kind: str, first: Any) -> None:
    """Id, choices, tool calls, parsed values, finish reasons, usage."""
    question = f"What is the weather and the time in Paris, for reader {next(NUMBERS)}?"
    members = {"model": MODEL, "messages": [{"role": "user", "content": question}], **KINDS[kind]}
    status, miss = await first(client, members)
    assert "MISS" == status

    async def is_hit() -> bool:
        return (await whole(client, members))[0] == "HIT"

    await eventually(is_hit, "the answer is stored")
    for way in (whole, streamed):
        status, hit = await way(client, members)
        assert "HIT" == status
        assert comparable(miss) == comparable(hit)


async def test_a_completion_shares_its_entry_with_the_equal_chat(client: openai.AsyncOpenAI) -> None:
    """Both ask the same of the same model; each endpoint answers in its own form, streamed or not."""
    prompt = f"What is the capital of France, reader {next(NUMBERS)}?"
    miss = await client.completions.create(model=MODEL, prompt=prompt)

    async def hit() -> openai.types.Completion | None:
        raw = await client.completions.with_raw_response.create(model=MODEL, prompt=prompt)
        return raw.parse() if raw.headers["x-cache-status"] == "HIT" else None

    again = await eventually(hit, "the answer is stored")
    assert miss.model_dump(exclude={"cost"}) == again.model_dump(exclude={"cost"})
    parts = await client.completions.create(model=MODEL, prompt=prompt, stream=True)
    assert miss.choices[0].text == "".join([part.choices[0].text async for part in parts])
    status, chat = await whole(client, {"model": MODEL, "messages": [{"role": "user", "content": prompt}]})
    assert ("HIT", miss.choices[0].text) == (status, chat.choices[0].message.content)


async def test_vectors_are_the_same(client: openai.AsyncOpenAI) -> None:
    """As base64, as the client asks by itself, and as numbers; alone and within a batch."""
    texts = [f"text {next(NUMBERS)}", f"text {next(NUMBERS)}"]
    miss = await client.embeddings.create(model=MODEL, input=texts)

    async def is_hit() -> bool:
        raw = await client.embeddings.with_raw_response.create(model=MODEL, input=texts)
        return raw.headers["x-cache-status"] == "HIT"

    await eventually(is_hit, "the vectors are stored")
    hit = await client.embeddings.create(model=MODEL, input=texts)
    assert miss.model_dump(exclude={"cost"}) == hit.model_dump(exclude={"cost"})
    one = await client.embeddings.create(model=MODEL, input=texts[1], encoding_format="float")
    assert pytest.approx(one.data[0].embedding, rel=1e-6) == miss.data[1].embedding
