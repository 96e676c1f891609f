"""Golden answers: providers' responses and streams in OpenAI's shape."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_chassis.chat.sse import DONE_DATA, SseEvent
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.anthropic_response import chat_answer
from meshgate_router.providers.anthropic_stream import STATUS_OF_ERROR, AnthropicStreamDecoder
from meshgate_router.providers.base import ErrorKind, ProviderError, StreamDecoder
from meshgate_router.providers.openai_answer import OpenAIStreamDecoder, whole_answer
from meshgate_router.providers.registry import providers

CREATED_S = 1_700_000_000
GOLDEN = json.loads((Path(__file__).parent / "providers" / "anthropic_answer.json").read_text())


def anthropic_decoder(*, json_answer: bool = False) -> AnthropicStreamDecoder:
    return AnthropicStreamDecoder(created_s=CREATED_S, json_answer=json_answer)


def fed(decoder: StreamDecoder, events: Iterable[Any]) -> list[pb.ChatChunk]:
    chunks: list[pb.ChatChunk] = []
    for event in events:
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        chunks.extend(decoder.feed(SseEvent("", data)))
    return chunks


def folded(chunks: Iterable[pb.ChatChunk]) -> dict[str, Any]:
    accumulator = ChunkAccumulator()
    for chunk in chunks:
        accumulator.add(chunk)
    return response_to_json(accumulator.response())


def whole(message: Mapping[str, Any], *, json_answer: bool = False) -> dict[str, Any]:
    body = json.dumps(message).encode()
    return response_to_json(chat_answer(body, created_s=CREATED_S, json_answer=json_answer))


def test_anthropic_whole() -> None:
    """Every kind of block, and the usage with its cached parts."""
    assert GOLDEN["expected"] == whole(GOLDEN["message"])


def test_anthropic_stream() -> None:
    """The same answer from its events."""
    decoder = anthropic_decoder()
    answer = folded(fed(decoder, GOLDEN["events"]))

    assert GOLDEN["expected"] == answer
    assert decoder.done
    assert decoder.whole
    assert "tool_calls" == decoder.finish_reason
    assert decoder.usage is not None
    assert 115 == decoder.usage.prompt_tokens


def test_anthropic_stream_is_whole_only_at_its_end() -> None:
    """Every proper beginning of the stream is known to be cut."""
    for count in range(len(GOLDEN["events"])):
        decoder = anthropic_decoder()
        fed(decoder, GOLDEN["events"][:count])
        assert not decoder.whole


def test_the_first_chunk_of_a_stream_has_the_role() -> None:
    """And no other has it."""
    chunks = fed(anthropic_decoder(), GOLDEN["events"])
    roles = [choice.delta.HasField("role") for chunk in chunks for choice in chunk.choices]

    assert [True, *[False] * (len(roles) - 1)] == roles


JSON_MESSAGE = {
    "id": "m",
    "model": "c",
    "content": [{"type": "tool_use", "id": "t", "name": "json_tool_call", "input": {"city": "Bern"}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


def test_structured_output_comes_back_as_content() -> None:
    """The arguments of the tool we added are the answer, and it stopped normally."""
    choice = whole(JSON_MESSAGE, json_answer=True)["choices"][0]

    assert {"role": "assistant", "content": '{"city":"Bern"}'} == choice["message"]
    assert "stop" == choice["finish_reason"]


def test_structured_output_streams_as_content() -> None:
    """As above, piece by piece."""
    events = [
        {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 1}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": JSON_MESSAGE["content"][0] | {"input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"city"'},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": ':"Bern"}'},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    choice = folded(fed(anthropic_decoder(json_answer=True), events))["choices"][0]

    assert {"role": "assistant", "content": '{"city":"Bern"}'} == choice["message"]
    assert "stop" == choice["finish_reason"]


def test_a_client_s_own_tool_of_that_name_stays_a_tool() -> None:
    """Only what we added ourselves is taken back."""
    message = whole(JSON_MESSAGE)["choices"][0]["message"]

    assert "json_tool_call" == message["tool_calls"][0]["function"]["name"]


@pytest.mark.parametrize(
    ("stop_reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("invented_tomorrow", "stop"),
    ],
)
def test_finish_reasons(stop_reason: str, expected: str) -> None:
    """In OpenAI's words."""
    message = {**JSON_MESSAGE, "content": [{"type": "text", "text": "x"}], "stop_reason": stop_reason}

    assert expected == whole(message)["choices"][0]["finish_reason"]


@pytest.mark.parametrize("name", STATUS_OF_ERROR)
def test_error_events(name: str) -> None:
    """An error inside a stream is the error that its type stands for."""
    error = {"type": "error", "error": {"type": name, "message": "Sorry"}}
    with pytest.raises(ProviderError) as caught:
        fed(anthropic_decoder(), [GOLDEN["events"][0], error])

    assert ("Sorry", name, STATUS_OF_ERROR[name]) == (
        caught.value.message,
        caught.value.type,
        caught.value.upstream_status,
    )


def test_an_overloaded_anthropic_is_told_as_500() -> None:
    """As LiteLLM does; it is worth a retry."""
    error = providers()["anthropic"].error(
        529, {"retry-after": "7"}, b'{"error":{"type":"overloaded_error"}}'
    )

    assert (ErrorKind.UNAVAILABLE, 500, 529, 7.0) == (
        error.kind,
        error.http_status,
        error.upstream_status,
        error.retry_after_s,
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"content":"x"}', b'{"content":[1]}', b"<html>", b'{"content":[', b"\xff"]
)
def test_nonsense_from_anthropic(body: bytes) -> None:
    """A body that is no message is an error of the provider, never an answer."""
    with pytest.raises(ProviderError) as caught:
        chat_answer(body, created_s=0, json_answer=False)
    assert ErrorKind.OTHER is caught.value.kind


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[1]}', b'{"choices":[{}]}', b"<html>", b"\xff"],
)
def test_nonsense_from_openai(body: bytes) -> None:
    """As above."""
    with pytest.raises(ProviderError) as caught:
        whole_answer(body)
    assert ErrorKind.OTHER is caught.value.kind


def test_an_error_under_status_200_is_an_error() -> None:
    """Some routers of models answer so."""
    with pytest.raises(ProviderError) as caught:
        whole_answer(b'{"error":{"message":"Busy","code":429}}')
    assert (ErrorKind.RATE_LIMITED, "Busy") == (caught.value.kind, caught.value.message)


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def test_openai_streams_end_with_done_or_with_every_choice_finished() -> None:
    """Servers that forget [DONE] are believed only when no choice is open."""
    cases = [
        ([chunk({"content": "x"})], False),
        ([chunk({"content": "x"}), chunk({}, "stop")], True),
        ([chunk({"content": "x"}), chunk({"content": "y"}, index=1), chunk({}, "stop")], False),
        ([chunk({"content": "x"}), DONE_DATA], True),
    ]
    for events, expected in cases:
        decoder = OpenAIStreamDecoder()
        fed(decoder, events)
        assert expected == decoder.whole


def test_errors_inside_openai_streams() -> None:
    """An error breaks the answer, unless the answer was already over."""
    error = {"error": {"message": "Boom", "code": 503}}
    with pytest.raises(ProviderError) as caught:
        fed(OpenAIStreamDecoder(), [chunk({"content": "x"}), error])
    late = OpenAIStreamDecoder()
    fed(late, [chunk({"content": "x"}), chunk({}, "length"), error | {"usage": {"prompt_tokens": 3}}])

    assert (ErrorKind.UNAVAILABLE, 503) == (caught.value.kind, caught.value.upstream_status)
    assert late.whole
    assert late.usage is not None
    assert 3 == late.usage.prompt_tokens


def test_reasoning_has_one_name() -> None:
    """Groq's and OpenRouter's `reasoning`, and Mistral's thinking parts, become reasoning_content."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    bodies = [
        {"content": "4", "reasoning": "Hm."},
        {"content": [thinking, {"type": "text", "text": "4"}]},
        {"content": "4", "reasoning_content": "Hm."},
    ]
    for body in bodies:
        answer = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", **body}}]}
        message = response_to_json(whole_answer(json.dumps(answer).encode()))["choices"][0]["message"]
        streamed = folded(fed(OpenAIStreamDecoder(), [chunk(body), chunk({}, "stop")]))["choices"][0][
            "message"
        ]
        for found in (message, streamed):
            assert ("4", "Hm.") == (found["content"], found["reasoning_content"])
