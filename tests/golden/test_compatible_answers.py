"""Answers of OpenAI-compatible servers that are not quite OpenAI's: read all the same."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_chassis.chat.sse import SseEvent
from meshgate_router.providers.base import ProviderError
from meshgate_router.providers.openai_answer import OpenAIStreamDecoder, whole_answer


def whole(answer: Any) -> dict[str, Any]:
    return response_to_json(whole_answer(json.dumps(answer).encode()))


def streamed(events: Iterable[Any]) -> tuple[dict[str, Any], OpenAIStreamDecoder]:
    decoder = OpenAIStreamDecoder()
    answer = ChunkAccumulator()
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        for chunk in decoder.feed(SseEvent(name, raw)):
            answer.add(chunk)
    return response_to_json(answer.response()), decoder


def piece(text: str, finish: Any = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **members}


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_signs_of_life_say_nothing() -> None:
    """Pings, empty events, nulls, a padded [DONE], an empty finish reason, and what comes after the end."""
    noise = [("ping", {"type": "ping"}), b"", b"  ", {"choices": None}, {"unheard_of": 1}]
    events = [*noise, piece("He", ""), *noise, piece("llo", "stop"), *noise, b" [DONE] ", piece("!")]
    answer, decoder = streamed(events)

    assert "Hello" == answer["choices"][0]["message"]["content"]
    assert "stop" == answer["choices"][0]["finish_reason"]
    assert decoder.done


def test_an_empty_finish_reason_is_none() -> None:
    """Some servers send "" with every chunk."""
    decoder = streamed([piece("He", "")])[1]

    assert not decoder.whole
    assert "" == decoder.finish_reason


@pytest.mark.parametrize(
    "events",
    [
        [piece("a", "stop", usage=USAGE)],
        [piece("a", "stop"), {"choices": [], "usage": USAGE}],
        [piece("a", "stop"), {"usage": USAGE}],
        [piece("a", "stop", x_groq={"usage": USAGE})],
        [{"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop", "usage": USAGE}]}],
        [piece("a", usage={**USAGE, "completion_tokens": 1}), piece("", "stop", usage=USAGE)],
        [piece("a", "stop", usage=USAGE), piece("", usage=None)],
    ],
)
def test_usage_wherever_it_stands(events: list[dict[str, Any]]) -> None:
    """The last one counts."""
    decoder = streamed(events)[1]

    assert decoder.usage is not None
    assert (5, 2) == (decoder.usage.prompt_tokens, decoder.usage.completion_tokens)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"prompt_cache_hit_tokens": 3}, {"prompt_tokens_details": {"cached_tokens": 3}}),
        ({"cached_tokens": 3}, {"prompt_tokens_details": {"cached_tokens": 3}}),
        (
            {"prompt_cache_hit_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
            {"prompt_tokens_details": {"cached_tokens": 4}},
        ),
        (
            {"prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2}},
            {"prompt_tokens_details": {"cached_tokens": 1, "cache_creation_tokens": 2}},
        ),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 4}}, {}),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, {}),
        # xAI counts reasoning beside the completion; others within it.
        (
            {"total_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 3}},
            {"completion_tokens": 5},
        ),
        ({"completion_tokens_details": {"reasoning_tokens": 2}}, {"completion_tokens": 2}),
    ],
)
def test_usage_in_other_words(told: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same counts, in OpenAI's terms; what is a part is never more than the whole."""
    message = {"message": {"content": "a"}, "index": 0, "finish_reason": "stop"}
    usage = whole({"choices": [message], "usage": {**USAGE, **told}})["usage"]

    for name, value in expected.items():
        found = usage[name]
        assert value == ({key: found[key] for key in value} if isinstance(value, dict) else found)
    details = usage.get("prompt_tokens_details") or {}
    parts = (details.get("cached_tokens") or 0) + (details.get("cache_creation_tokens") or 0)
    assert parts <= usage["prompt_tokens"]
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    assert reasoning <= usage["completion_tokens"]


def test_legacy_text_completions_are_chats() -> None:
    """Whole and streamed."""
    logprobs = {"tokens": ["a"]}
    choice = {"index": 0, "text": "Once", "finish_reason": "length", "logprobs": logprobs}
    first = {"index": 0, "text": "On", "finish_reason": None, "logprobs": None}
    second = {"index": 0, "text": "ce", "finish_reason": "length", "logprobs": logprobs}
    text = {"object": "text_completion", "id": "cmpl-1", "model": "m", "created": 1}
    expected = whole({**text, "choices": [choice], "usage": USAGE})
    answer, decoder = streamed(
        [{**text, "choices": [first]}, {**text, "choices": [second]}, {**text, "choices": [], "usage": USAGE}]
    )

    assert {"role": "assistant", "content": "Once"} == expected["choices"][0]["message"]
    assert "chat.completion" == expected["object"]
    assert expected == answer
    assert decoder.whole


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": {"message": "m", "code": 429}}, 429),
        ({"error": {"message": "m", "code": "x", "status_code": 400}}, 400),
        ({"error": {"message": "m", "type": "server_error"}}, 500),
        ({"error": "m"}, 500),
        ({"object": "error", "message": "m", "code": 400}, 400),
        (("error", {"message": "m"}), 500),
        ({"choices": [{"index": 0, "error": {"message": "m", "code": 502}}]}, 502),
    ],
)
def test_errors_inside_a_stream(event: Any, status: int) -> None:
    """Whoever words them."""
    with pytest.raises(ProviderError) as caught:
        streamed([piece("a"), event])
    assert ("m", status) == (caught.value.message, caught.value.http_status)


def test_finish_reasons_of_others_pass() -> None:
    """They are the provider's own words, and the answer is whole."""
    answer, decoder = streamed([piece("a", "insufficient_system_resource")])

    assert "insufficient_system_resource" == answer["choices"][0]["finish_reason"]
    assert decoder.whole
