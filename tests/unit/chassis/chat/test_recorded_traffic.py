"""Every recorded chat completion of real providers passes the codec unharmed."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.chunk_json import chunk_from_json, chunk_to_json
from meshgate_chassis.chat.json import loads, loads_object
from meshgate_chassis.chat.replay import chunks_of
from meshgate_chassis.chat.request_json import request_from_json, request_to_json
from meshgate_chassis.chat.response_json import response_from_json, response_to_json
from meshgate_chassis.chat.sse import DONE_DATA, SseDecoder
from meshgate_chassis.chat.validate import validate_request
from tests.support.shared_data import shared_data

PROVIDERS = ["openai", "groq", "mistral", "deepseek", "openrouter", "azure"]


def exchanges(provider: str) -> Iterator[dict[str, Any]]:
    with gzip.open(shared_data(f"cassettes/{provider}.jsonl.gz")) as lines:
        for line in lines:
            exchange = loads_object(line)
            if "/chat/completions" in exchange["path"]:
                yield exchange


def chunks(stream: str) -> list[dict[str, Any]]:
    decoder = SseDecoder()
    events = decoder.feed(stream.encode()) + decoder.finish()
    return [loads_object(event.data) for event in events if event.data != DONE_DATA]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_requests_and_responses_round_trip(provider: str) -> None:
    """Requests are valid and survive; so do whole responses, errors included."""
    seen = 0
    for exchange in exchanges(provider):
        seen += 1
        request = exchange["request"]
        validate_request({"model": "in the path", **request})
        assert request == request_to_json(request_from_json(request))
        if type(response := exchange["response"]) is dict:
            assert response == response_to_json(response_from_json(response))
    assert seen


@pytest.mark.parametrize("provider", PROVIDERS)
def test_streams_round_trip_and_fold(provider: str) -> None:
    """Chunks survive; their sum has the texts, calls and usage that the chunks brought."""
    for exchange in exchanges(provider):
        if type(exchange["response"]) is not str:
            continue
        bodies = chunks(exchange["response"])
        assert bodies
        accumulator = ChunkAccumulator()
        for body in bodies:
            chunk = chunk_from_json(body)
            assert body == chunk_to_json(chunk)
            accumulator.add(chunk)
        response = response_to_json(accumulator.response())
        deltas = [c["delta"] for body in bodies for c in body.get("choices") or ()]
        texts = [d["content"] for d in deltas if type(d.get("content")) is str]
        if all(type(d.get("content")) is not list for d in deltas):
            content = "".join(c["message"]["content"] or "" for c in response["choices"])
            assert "".join(texts) == content
        for choice in response["choices"]:
            for tool_call in choice["message"].get("tool_calls", ()):
                assert type(loads(tool_call["function"]["arguments"])) is dict
        usages = [body["usage"] for body in bodies if body.get("usage")]
        assert (usages[-1] if usages else None) == response.get("usage")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_responses_survive_a_replay(provider: str) -> None:
    """A recorded whole answer, replayed as a stream and folded, is the same answer."""
    for exchange in exchanges(provider):
        body = exchange["response"]
        if type(body) is not dict or "choices" not in body:
            continue
        accumulator = ChunkAccumulator()
        for chunk in chunks_of(response_from_json(body)):
            accumulator.add(chunk)
        again = response_to_json(accumulator.response())
        expected = {name: value for name, value in body.items() if name != "usage"}
        for choice in expected["choices"]:
            choice["message"].setdefault("content", None)
            for tool_call in choice["message"].get("tool_calls") or ():
                tool_call.pop("index", None)
        assert expected == again
