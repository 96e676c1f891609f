"""Golden answers of Ollama's own API: whole, line by line and refused, in OpenAI's shape."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_chassis.chat.sse import SseEvent
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.providers.ollama_answer import OllamaStreamDecoder, chat_answer

CREATED_S = 1_700_000_000
END = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4}
CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
LINES = [
    {"model": "m", "created_at": "t", "message": {"role": "assistant", "content": "", "thinking": "Hm."}},
    {"model": "m", "message": {"role": "assistant", "content": "He"}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "llo"}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": [CALL]}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": [CALL]}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": ""}, **END},
]
WHOLE = {
    "model": "m",
    "message": {"role": "assistant", "content": "Hello", "thinking": "Hm.", "tool_calls": [CALL, CALL]},
    **END,
}
EXPECTED = {
    "object": "chat.completion",
    "created": CREATED_S,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Hello",
                "reasoning_content": "Hm.",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}] * 2,
            },
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}


def whole(answer: Any) -> dict[str, Any]:
    return response_to_json(chat_answer(json.dumps(answer).encode(), created_s=CREATED_S))


def streamed(lines: Iterable[Any]) -> tuple[dict[str, Any], OllamaStreamDecoder]:
    decoder = OllamaStreamDecoder(created_s=CREATED_S)
    answer = ChunkAccumulator()
    ids = set()
    for line in lines:
        for chunk in decoder.feed(SseEvent("", json.dumps(line).encode())):
            ids.add(chunk.id)
            answer.add(chunk)
    assert len(ids) <= 1
    return response_to_json(answer.response()), decoder


def without_ids(answer: dict[str, Any]) -> dict[str, Any]:
    """The ids are made, and no two are the same."""
    calls = answer["choices"][0]["message"].get("tool_calls", [])
    ids = [answer.pop("id"), *(call.pop("id") for call in calls)]
    assert len(ids) == len(set(ids))
    return answer


def test_whole_and_streamed() -> None:
    """Thoughts, text, two equal calls, finish reason and usage."""
    answer, decoder = streamed(LINES)

    assert EXPECTED == without_ids(answer)
    assert EXPECTED == without_ids(whole(WHOLE))
    assert decoder.whole
    assert decoder.done
    assert "tool_calls" == decoder.finish_reason
    assert decoder.usage is not None
    assert (9, 4) == (decoder.usage.prompt_tokens, decoder.usage.completion_tokens)


def test_only_the_last_line_makes_it_whole() -> None:
    """Every proper beginning is known to be cut."""
    for count in range(len(LINES)):
        assert not streamed(LINES[:count])[1].whole


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("length", "length"), ("load", "stop"), ("new", "stop"), (None, "stop")],
)
def test_finish_reasons(reason: str | None, expected: str) -> None:
    """Older servers tell none."""
    line = {**WHOLE, "message": {"content": "x"}, "done_reason": reason}

    assert expected == whole(line)["choices"][0]["finish_reason"]
    assert expected == streamed([line])[1].finish_reason


def test_a_missing_count_is_no_usage() -> None:
    """Ollama leaves out the count of a cached prompt: better none than a wrong one."""
    line = {**WHOLE, "prompt_eval_count": None}

    assert "usage" not in whole(line)
    assert streamed([line])[1].usage is None


def test_answers_of_generate_and_of_servers_that_pass_for_ollama() -> None:
    """Both are read."""
    generated = {"model": "m", "response": "Hello", **END}
    compatible = {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}

    for found in (whole(generated), streamed([generated])[0], whole(compatible)):
        assert "Hello" == found["choices"][0]["message"]["content"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"done":true}', b"oops"])
def test_nonsense_is_no_answer(body: bytes) -> None:
    """Nothing that looks like an answer is made of it."""
    with pytest.raises(ProviderError) as caught:
        chat_answer(body, created_s=CREATED_S)
    assert (ErrorKind.OTHER, 502) == (caught.value.kind, caught.value.http_status)


def test_an_error_inside_a_stream() -> None:
    """It ends the answer."""
    with pytest.raises(ProviderError) as caught:
        streamed([LINES[0], {"error": "an error was encountered while running the model"}])
    assert ErrorKind.UNAVAILABLE is caught.value.kind
    assert "running the model" in caught.value.message
