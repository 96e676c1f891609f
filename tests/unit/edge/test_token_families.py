"""Counts at the edge beside the providers' own: recorded answers, published rules for images and sound."""

import base64
import gzip
import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from rs_bpe.bpe import openai as vocabularies

from meshgate_chassis.chat.response_json import response_from_json
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_edge.tokens.families import OPENAI, Family, family_of
from meshgate_edge.tokens.media import image_tokens, part_tokens
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.support.shared_data import shared_data

COUNTER = TokenCounter(vocabularies.o200k_base(), vocabularies.cl100k_base())
CLAUDE = family_of("anthropic", "claude-sonnet-4-5")
GEMINI = family_of("gemini", "gemini-2.5-flash")


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded answer of text alone, with the tokens that its provider billed."""

    family: Family
    text: str
    tokens: int


def answers(provider: str) -> Iterator[Answer]:
    """Every other recorded exchange: the factors were measured on the rest."""
    with gzip.open(shared_data(f"cassettes/{provider}.jsonl.gz")) as lines:
        for index, line in enumerate(lines):
            exchange = json.loads(line)
            request, response = exchange["request"], exchange["response"]
            if index % 2 == 0 or exchange["status"] != 200 or not isinstance(response, dict):
                continue
            found = _openai(response) or _anthropic(response) or _gemini(response)
            model = str((request or {}).get("model") or response.get("modelVersion", ""))
            if found and found[0] and found[1]:
                yield Answer(family_of(provider, model), *found)


def _openai(response: dict[str, Any]) -> tuple[str, int] | None:
    messages = [choice.get("message") or {} for choice in response.get("choices", [])]
    usage = response.get("usage") or {}
    if not messages or any(each.get("tool_calls") or each.get("audio") for each in messages):
        return None
    texts = [each.get("content") for each in messages]
    if not all(isinstance(text, str) for text in texts) or messages[0].get("reasoning"):
        return None
    details = usage.get("completion_tokens_details") or {}
    return "".join(map(str, texts)), usage.get("completion_tokens", 0) - (
        details.get("reasoning_tokens") or 0
    )


def _anthropic(response: dict[str, Any]) -> tuple[str, int] | None:
    blocks = response.get("content")
    if not isinstance(blocks, list) or any(block.get("type") != "text" for block in blocks):
        return None
    return "".join(block["text"] for block in blocks), response["usage"]["output_tokens"]


def _gemini(response: dict[str, Any]) -> tuple[str, int] | None:
    parts = [
        part
        for candidate in response.get("candidates", [])
        for part in (candidate.get("content") or {}).get("parts", [])
    ]
    if not parts or any("text" not in part or part.get("thought") for part in parts):
        return None
    told = response["usageMetadata"].get("candidatesTokenCount", 0)
    return "".join(part["text"] for part in parts), told


@pytest.mark.parametrize(
    ("provider", "count_min", "error_max"),
    [("openai", 40, 0.01), ("azure", 5, 0.05), ("anthropic", 15, 0.10), ("gemini", 15, 0.05)],
)
def test_answers_count_as_their_providers_count_them(provider: str, count_min: int, error_max: float) -> None:
    """Summed by family: OpenAI's to one in a hundred, the others as closely as an estimate can be."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for answer in answers(provider):
        counted = COUNTER.text(answer.text, answer.family) + answer.family.answer_tokens
        for position, number in enumerate((1, counted, answer.tokens)):
            sums[answer.family.name][position] += number
    print(provider, {name: f"{n} answers {got}/{told}" for name, (n, got, told) in sums.items()})

    assert sum(count for count, _, _ in sums.values()) >= count_min
    counted = sum(got for _, got, _ in sums.values())
    told = sum(told for _, _, told in sums.values())
    assert abs(counted - told) <= error_max * told


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "gpt-4", "openai-cl100k"),
        ("openai", "gpt-4-turbo-2024-04-09", "openai-cl100k"),
        ("azure", "gpt-35-turbo", "openai-cl100k"),
        ("openai", "gpt-4o-2024-08-06", "openai"),
        ("openai", "gpt-4o-mini", "openai-mini"),
        ("openai", "gpt-4.1-nano", "openai"),
        ("openai", "gpt-5-mini", "openai-reasoning"),
        ("openai", "o3-mini", "openai-reasoning"),
        ("openrouter", "anthropic/claude-sonnet-4.6", "claude"),
        ("anthropic", "claude-3-5-haiku-latest", "claude"),
        ("anthropic", "claude-opus-4-8", "claude-5"),
        ("anthropic", "claude-sonnet-5", "claude-5"),
        ("bedrock", "anthropic.claude-3-sonnet", "claude"),
        ("gemini", "gemini-2.5-pro", "gemini"),
        ("groq", "llama-3.3-70b-versatile", "other"),
        ("groq", "openai/gpt-oss-120b", "gpt-oss"),
        ("openai", "ft:whatever", "openai"),
        ("somebody", "whatever", "other"),
    ],
)
def test_a_model_is_known_by_its_name(provider: str, model: str, name: str) -> None:
    """At whichever provider it runs."""
    assert name == family_of(provider, model).name


def test_parts_of_an_answer_are_not_counted_twice() -> None:
    """Content, reasoning, refusals and tool calls, each once; chunk by chunk as in one piece."""
    message = {
        "role": "assistant",
        "content": "one two three",
        "reasoning_content": "four five",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
        ],
    }
    response = response_from_json({"choices": [{"index": 0, "message": message}]})
    delta = chat_pb.MessageDelta(content="one two three", reasoning_content="four five")
    delta.tool_calls.add().function.name = "look"
    delta.tool_calls.add().function.arguments = '{"a": 1}'
    chunk = chat_pb.ChatChunk(choices=[chat_pb.ChoiceDelta(delta=delta)])

    assert 3 + 2 + 1 + 6 == COUNTER.answer(response)
    assert 1_000 * COUNTER.answer(response) == COUNTER.chunk_permilles(chunk)
    assert 2 == COUNTER.reasoning(response)
    assert 0 == COUNTER.answer(chat_pb.ChatResponse(), CLAUDE)


def data_url(width: int, height: int, kind: str = "png") -> str:
    """The head of an image of that size."""
    heads = {
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height),
        "gif": b"GIF89a" + struct.pack("<HH", width, height),
        "jpeg": b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\x03",
        "webp": b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0"
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little"),
    }
    return f"data:image/{kind};base64,{base64.b64encode(heads[kind] + b'.' * 9).decode()}"


@pytest.mark.parametrize("kind", ["png", "gif", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("size", "detail", "family", "tokens"),
    [
        ((1_024, 1_024), "high", OPENAI, 765),  # OpenAI's own example
        ((2_048, 4_096), "auto", OPENAI, 1_105),  # and its second
        ((4_096, 8_192), "low", OPENAI, 85),
        ((1_000, 1_000), "", CLAUDE, 1_334),  # Anthropic's
        ((8_000, 8_000), "", CLAUDE, 1_600),
        ((300, 300), "", GEMINI, 258),
        ((1_000, 1_000), "", GEMINI, 1_032),
    ],
)
def test_images_cost_what_is_published(
    kind: str, size: tuple[int, int], detail: str, family: Family, tokens: int
) -> None:
    """Their size is read from the data."""
    assert tokens == image_tokens(data_url(*size, kind), detail, family)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a.png", "data:image/png;base64,????", "data:,", "data:image/png;base64,iVBORw0K"],
)
def test_an_image_that_cannot_be_read_is_a_usual_one(url: str) -> None:
    """No error, whatever clients send."""
    assert 765 == image_tokens(url, "high", OPENAI)


def test_sound_and_files_are_not_text() -> None:
    """By their length, not by their base64."""
    wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0" + struct.pack("<II", 16_000, 32_000)
    sound = base64.b64encode(wav + bytes(64_000 - len(wav))).decode()
    part = {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
    file = {"type": "file", "file": {"file_data": "A" * 4_000}}

    assert 20 == part_tokens(json.dumps(part).encode(), OPENAI)
    assert 64 == part_tokens(json.dumps(part).encode(), GEMINI)
    assert 187 == part_tokens(json.dumps(file).encode(), OPENAI)
    assert part_tokens(b'{"type": "other"}', OPENAI) is None
    assert part_tokens(b"no json", OPENAI) is None
