"""ChunkAccumulator: what real streams do, including what the specification does not say."""

from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.chunk_json import chunk_from_json, chunk_to_json
from meshgate_chassis.chat.replay import chunks_of, usage_chunk
from meshgate_chassis.chat.response_json import response_from_json, response_to_json
from meshgate_chassis.errors import Code, MeshError


def fold(*bodies: dict[str, Any]) -> dict[str, Any]:
    accumulator = ChunkAccumulator()
    for body in bodies:
        accumulator.add(chunk_from_json(body))
    return response_to_json(accumulator.response())


def message_of(*deltas: dict[str, Any]) -> dict[str, Any]:
    choices = fold(*({"choices": [{"index": 0, "delta": delta}]} for delta in deltas))["choices"]
    message: dict[str, Any] = choices[0]["message"]
    return message


def call(index: int | None, **members: Any) -> dict[str, Any]:
    fragment = dict(members)
    if index is not None:
        fragment["index"] = index
    return {"tool_calls": [fragment]}


def test_a_stream_as_openai_sends_it() -> None:
    """Labels of the first chunk, texts joined, the finish reason, usage of the last; no padding."""
    head = {
        "id": "i",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "m",
        "system_fingerprint": "fp",
        "service_tier": "default",
        "obfuscation": "xyz",
    }
    open_choice = {"index": 0, "logprobs": None, "finish_reason": None}
    first = {"role": "assistant", "content": "", "refusal": None}
    chunks = [
        {**head, "usage": None, "choices": [{**open_choice, "delta": first}]},
        {**head, "usage": None, "choices": [{**open_choice, "delta": {"content": "Hel"}}]},
        {**head, "usage": None, "choices": [{**open_choice, "delta": {"content": "lo"}}]},
        {**head, "usage": None, "choices": [{**open_choice, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ]
    assert {
        "id": "i",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "system_fingerprint": "fp",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    } == fold(*chunks)


def test_labels_come_from_the_first_chunk_that_has_them() -> None:
    """Azure's first chunk has an empty id and model; nulls do not overwrite."""
    response = fold(
        {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [1]},
        {"id": "a", "model": "m", "created": 1, "choices": [], "system_fingerprint": None},
        {"id": "b", "model": "n", "created": 2, "choices": [], "system_fingerprint": "fp"},
        {"id": "b", "choices": [], "system_fingerprint": "other", "prompt_filter_results": None},
    )
    expected = {"id": "a", "model": "m", "created": 1, "system_fingerprint": "fp"}
    assert expected == {name: response[name] for name in expected}
    assert [1] == response["prompt_filter_results"]


def test_choices_interleave() -> None:
    """With n > 1 the choices come mixed and leave in order."""
    response = fold(
        {"choices": [{"index": 1, "delta": {"content": "b"}}]},
        {"choices": [{"index": 0, "delta": {"content": "a"}}]},
        {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "length"}]},
        {"choices": [{"index": 0, "delta": {"content": "A"}, "finish_reason": "stop"}]},
    )
    seen = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in response["choices"]]
    assert [(0, "aA", "stop"), (1, "bB", "length")] == seen


def test_tool_calls_interleave() -> None:
    """Fragments belong to the call of their index, whatever comes between."""
    message = message_of(
        {"role": "assistant", "content": None},
        call(0, id="x", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="y", type="function", function={"name": "g", "arguments": ""}),
        call(0, function={"arguments": '{"a"'}),
        call(1, function={"arguments": "{"}),
        call(0, function={"arguments": ":1}"}),
        call(1, function={"arguments": "}"}),
    )
    assert {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "y", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    } == message


@pytest.mark.parametrize(("first", "second"), [(None, None), (0, 0)])
def test_tool_calls_without_a_proper_index(first: int | None, second: int | None) -> None:
    """A new id with a name begins a call even where the index is missing or always 0."""
    message = message_of(
        call(first, id="x", function={"name": "f", "arguments": "1"}),
        call(first, function={"arguments": "2"}),
        call(second, id="y", function={"name": "g", "arguments": "3"}),
        call(second, function={"arguments": "4"}),
    )
    seen = [(c["id"], c["function"]["arguments"]) for c in message["tool_calls"]]
    assert [("x", "12"), ("y", "34")] == seen


def test_repeated_labels_are_not_joined() -> None:
    """Some providers repeat id, type and name with every fragment, or send them empty later."""
    fragment = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "1"}}
    empty = {"id": "", "type": "", "function": {"name": "", "arguments": ""}}
    message = message_of(call(0, **fragment), call(0, **fragment), call(0, **empty))
    function = {"name": "f", "arguments": "11"}
    assert [{"id": "x", "type": "function", "function": function}] == message["tool_calls"]


def test_unknown_members_of_a_delta_are_joined() -> None:
    """reasoning and its details, legacy function_call and audio arrive in fragments too."""
    message = message_of(
        {"reasoning": "a", "reasoning_details": [{"type": "t", "index": 0, "text": "a"}]},
        {"reasoning": "b", "reasoning_details": [{"type": "t", "index": 0, "text": "b"}]},
        {"reasoning": None, "function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}, "audio": {"id": "i", "transcript": "x"}},
        {"audio": {"transcript": "y", "expires_at": 1}},
    )
    assert "ab" == message["reasoning"]
    assert [{"type": "t", "index": 0, "text": "ab"}] == message["reasoning_details"]
    assert {"name": "f", "arguments": "{}"} == message["function_call"]
    assert {"id": "i", "transcript": "xy", "expires_at": 1} == message["audio"]


def test_signed_thinking_blocks_stay_apart() -> None:
    """Anthropic wants each block back with its own signature; an unsigned one still grows."""
    blocks = [{"type": "thinking", "thinking": text, "signature": sign} for text, sign in ("as", "bt")]
    pieces = [{"type": "thinking", "thinking": "c"}, {"type": "thinking", "thinking": "d", "signature": "u"}]

    message = message_of(*({"thinking_blocks": [block]} for block in (*blocks, *pieces)))

    last = {"type": "thinking", "thinking": "cd", "signature": "u"}
    assert [*blocks, last] == message["thinking_blocks"]


def test_content_parts_grow() -> None:
    """Mistral streams thinking as parts and then the answer as text: the answer is a part too."""
    message = message_of(
        {"content": ""},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I "}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "think"}]}]},
        {"content": "An"},
        {"content": "swer"},
    )
    assert [
        {"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]},
        {"type": "text", "text": "Answer"},
    ] == message["content"]


def test_logprobs_are_concatenated() -> None:
    """Equal tokens in a row are each kept; null says nothing."""
    one = {"logprobs": {"content": [{"token": "ha", "logprob": -1.0}], "refusal": None}}
    delta = {"index": 0, "delta": {"content": "ha"}}
    response = fold(
        {"choices": [{"index": 0, "delta": {}, "logprobs": None}]},
        {"choices": [{**delta, **one}]},
        {"choices": [{**delta, **one}]},
        {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]},
    )
    two = [{"token": "ha", "logprob": -1.0}] * 2
    assert {"content": two, "refusal": None} == response["choices"][0]["logprobs"]


def test_a_null_does_not_take_back_a_member_of_a_choice() -> None:
    """OpenRouter sends native_finish_reason once and null otherwise."""
    choice = {"index": 0, "delta": {}}
    response = fold(
        {"choices": [{**choice, "native_finish_reason": None}]},
        {"choices": [{**choice, "native_finish_reason": "STOP"}]},
        {"choices": [{**choice, "native_finish_reason": None}]},
    )
    assert "STOP" == response["choices"][0]["native_finish_reason"]


def test_a_truncated_stream_has_no_finish_reason() -> None:
    """What came so far is there, and the finish reason is null."""
    choice = fold({"choices": [{"index": 0, "delta": {"content": "Hel"}}]})["choices"][0]
    assert ("Hel", None) == (choice["message"]["content"], choice["finish_reason"])


def test_the_size_is_limited() -> None:
    """A stream beyond the limit is an error, and what was added before stays."""
    accumulator = ChunkAccumulator(size_bytes_max=100)
    chunk = chunk_from_json({"choices": [{"index": 0, "delta": {"content": "x" * 60}}]})
    accumulator.add(chunk)
    with pytest.raises(MeshError) as caught:
        accumulator.add(chunk)
    assert (Code.RESOURCE_EXHAUSTED, "STREAM_TOO_LARGE") == (caught.value.code, caught.value.reason)
    assert "x" * 60 == accumulator.response().choices[0].message.text


def test_replay_looks_like_a_live_stream() -> None:
    """Role, pieces of the text, the call's labels, pieces of its arguments, finish."""
    function = {"name": "f", "arguments": "{}"}
    message = {
        "role": "assistant",
        "content": "Hello",
        "tool_calls": [{"id": "x", "type": "function", "function": function}],
    }
    response = response_from_json(
        {
            "id": "i",
            "object": "chat.completion",
            "created": 5,
            "model": "m",
            "service_tier": "default",
            "provider": "p",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1},
        }
    )
    chunks = [chunk_to_json(chunk) for chunk in chunks_of(response, text_characters_max=3)]
    labels = {"index": 0, "id": "x", "type": "function"}
    assert [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {"tool_calls": [{**labels, "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {},
    ] == [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [None] * 5 + ["tool_calls"] == [c["choices"][0]["finish_reason"] for c in chunks]
    assert ["p"] + [None] * 5 == [chunk.get("provider") for chunk in chunks]
    head = {"id": "i", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    for chunk in chunks:
        assert {**head, "service_tier": "default"}.items() <= chunk.items()
        assert "usage" not in chunk
    expected = {**head, "service_tier": "default", "choices": [], "usage": {"prompt_tokens": 1}}
    assert expected == chunk_to_json(usage_chunk(response))


def test_a_text_with_logprobs_stays_whole() -> None:
    """Each token's logprob is in the chunk that has the token."""
    logprobs = {"content": [{"token": "Hel"}, {"token": "lo"}]}
    message = {"role": "assistant", "content": "Hello"}
    response = response_from_json({"choices": [{"message": message, "logprobs": logprobs}]})
    choices = [chunk_to_json(c)["choices"][0] for c in chunks_of(response, text_characters_max=1)]
    assert [None, logprobs, None] == [choice.get("logprobs") for choice in choices]
    assert "Hello" == choices[1]["delta"]["content"]
