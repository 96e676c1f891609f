"""Golden answers of Gemini: whole, streamed and refused, in OpenAI's shape."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_chassis.chat.sse import SseEvent
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.providers.gemini_answer import chat_answer
from meshgate_router.providers.gemini_error import gemini_error
from meshgate_router.providers.gemini_stream import GeminiStreamDecoder

CREATED_S = 1_700_000_000
GOLDEN = json.loads((Path(__file__).parent / "providers" / "gemini_answer.json").read_text())


def whole(answer: Any) -> dict[str, Any]:
    return response_to_json(chat_answer(json.dumps(answer).encode(), created_s=CREATED_S))


def streamed(events: Iterable[Any]) -> tuple[dict[str, Any], GeminiStreamDecoder]:
    decoder = GeminiStreamDecoder(created_s=CREATED_S)
    answer = ChunkAccumulator()
    for event in events:
        for chunk in decoder.feed(SseEvent("", json.dumps(event).encode())):
            answer.add(chunk)
    return response_to_json(answer.response()), decoder


def with_made_id(answer: dict[str, Any]) -> dict[str, Any]:
    """The id that the translation made, out of sight."""
    call = answer["choices"][0]["message"]["tool_calls"][1]
    assert call["id"].startswith("call_")
    assert len("call_") + 28 == len(call["id"])
    call["id"] = "MADE"
    return answer


def test_whole() -> None:
    """Thoughts, text, calls with and without ids, images, signatures, searches and usage."""
    assert GOLDEN["expected"] == with_made_id(whole(GOLDEN["whole"]))
    assert whole(GOLDEN["whole"]) == whole(GOLDEN["whole"])


def test_streamed() -> None:
    """The same answer from its events."""
    answer, decoder = streamed(GOLDEN["events"])

    assert GOLDEN["expected"] == with_made_id(answer)
    assert "tool_calls" == decoder.finish_reason
    assert decoder.usage is not None
    assert (100, 17) == (decoder.usage.prompt_tokens, decoder.usage.completion_tokens)


def test_a_stream_is_whole_only_at_its_end() -> None:
    """Every proper beginning of the stream is known to be cut."""
    for count in range(len(GOLDEN["events"])):
        assert not streamed(GOLDEN["events"][:count])[1].whole
    assert streamed(GOLDEN["events"])[1].whole


REASONS = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MALFORMED_FUNCTION_CALL": "stop",
    "invented tomorrow": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "OTHER": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}


@pytest.mark.parametrize("reason", REASONS)
def test_finish_reasons(reason: str) -> None:
    """In OpenAI's words, with no content as Gemini does when it refuses."""
    answer = {"candidates": [{"finishReason": reason}], "usageMetadata": {"promptTokenCount": 3}}

    assert REASONS[reason] == whole(answer)["choices"][0]["finish_reason"]
    assert REASONS[reason] == streamed([answer])[1].finish_reason
    assert 3 == whole(answer)["usage"]["prompt_tokens"]


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    """There is no candidate, but there is usage."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    answer, decoder = streamed([blocked])

    for found in (whole(blocked), answer):
        assert "content_filter" == found["choices"][0]["finish_reason"]
        assert not found["choices"][0]["message"]["content"]
        assert 4 == found["usage"]["prompt_tokens"]
    assert decoder.whole


def test_logprobs() -> None:
    """In OpenAI's shape."""
    chosen = {"token": "Hé", "logProbability": -0.5, "tokenId": 1}
    top = [{"candidates": [chosen, {"token": "x", "logProbability": -2}]}]
    result = {"chosenCandidates": [chosen], "topCandidates": top}
    candidate = {"content": {"parts": [{"text": "Hé"}]}, "finishReason": "STOP", "logprobsResult": result}
    first = {"token": "Hé", "logprob": -0.5, "bytes": list("Hé".encode())}
    other = {"token": "x", "logprob": -2, "bytes": [120]}
    expected = {"content": [{**first, "top_logprobs": [first, other]}]}

    assert expected == whole({"candidates": [candidate]})["choices"][0]["logprobs"]
    assert expected == streamed([{"candidates": [candidate]}])[0]["choices"][0]["logprobs"]


def test_candidates_keep_their_places() -> None:
    """With an index or without, together or one by one."""
    pieces = [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"} for text in ("a", "b")]
    second = {**pieces[1], "index": 1}

    for found in (
        whole({"candidates": pieces}),
        streamed([{"candidates": pieces}])[0],
        streamed([{"candidates": pieces[:1]}, {"candidates": [second]}])[0],
    ):
        assert ["a", "b"] == [choice["message"]["content"] for choice in found["choices"]]


ODD = [
    {"candidates": [{"content": None, "finishReason": "STOP"}]},
    {"candidates": [{"content": {"parts": None}, "finishReason": "STOP"}]},
    {"candidates": [{"content": {"parts": [{"executableCode": {}}, {}, None]}, "finishReason": "STOP"}]},
    {"candidates": [], "usageMetadata": {"promptTokenCount": 1}},
    {"candidates": None, "usageMetadata": {}},
    {"candidates": [{"finishReason": None, "safetyRatings": [], "unheardOf": 1}], "unheardOf": {}},
]


@pytest.mark.parametrize("answer", ODD)
def test_what_is_read_need_not_be_perfect(answer: dict[str, Any]) -> None:
    """An answer without content is an answer."""
    choice = whole(answer)["choices"][0]

    assert not choice["message"].get("content")
    assert "stop" == choice["finish_reason"]
    streamed([answer])


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"oops", b'{"candidates":[]}'])
def test_nonsense_is_no_answer(body: bytes) -> None:
    """Nothing that looks like an answer is made of it."""
    with pytest.raises(ProviderError) as caught:
        chat_answer(body, created_s=CREATED_S)
    assert (ErrorKind.OTHER, 502) == (caught.value.kind, caught.value.http_status)


def error(status: int, name: str, message: str = "m", details: Any = None) -> ProviderError:
    told = {"error": {"code": status, "message": message, "status": name, "details": details}}
    return gemini_error(status, {}, json.dumps([told] if status == 429 else told).encode())


def test_errors() -> None:
    """Kind, status, type and code; the wait stands in the details; a wrong key is told as 400."""
    retry = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}, "x"]
    limited = error(429, "RESOURCE_EXHAUSTED", details=retry)
    assert (ErrorKind.RATE_LIMITED, 429, "RESOURCE_EXHAUSTED", "429", 34.5) == (
        limited.kind,
        limited.http_status,
        limited.type,
        limited.code,
        limited.retry_after_s,
    )
    wrong_key = error(400, "INVALID_ARGUMENT", "API key not valid.", [{"reason": "API_KEY_INVALID"}])
    assert (ErrorKind.AUTHENTICATION_FAILED, 401) == (wrong_key.kind, wrong_key.http_status)
    too_long = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    assert ErrorKind.CONTEXT_WINDOW_EXCEEDED is error(400, "INVALID_ARGUMENT", too_long).kind
    assert ErrorKind.UNAVAILABLE is error(503, "UNAVAILABLE").kind
    assert ErrorKind.NOT_FOUND is error(404, "NOT_FOUND").kind


def test_an_error_inside_a_stream() -> None:
    """It ends the answer, with the status that it names."""
    with pytest.raises(ProviderError) as caught:
        streamed([GOLDEN["events"][0], {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}])
    assert (ErrorKind.UNAVAILABLE, 503) == (caught.value.kind, caught.value.http_status)
