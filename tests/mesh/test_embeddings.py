"""Embeddings and legacy completions through the whole mesh: vectors, books, errors that name the member."""

import struct
from base64 import b64decode
from typing import Any

import openai
import pytest

from tests.mesh.subject import Subject

EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"


async def test_each_input_has_its_vector(subject: Subject) -> None:
    """In order; equal texts have equal vectors; billed by what the provider counted."""
    body = {"model": "demo", "input": ["one", "two", "one"]}
    answer = await subject.post(EMBEDDINGS, body)

    assert 200 == answer.status, answer.body
    vectors = [item["embedding"] for item in answer.json["data"]]
    assert [0, 1, 2] == [item["index"] for item in answer.json["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert 3 == answer.json["usage"]["prompt_tokens"] == answer.json["usage"]["total_tokens"]
    assert 3 * 0.000001 == pytest.approx(float(answer.headers["x-litellm-response-cost"]))
    entry = (await subject.entries())[-1]
    assert ("aembedding", 3_000, 0) == (
        entry["call_type"],
        entry["amount_nanos"],
        entry["completion_tokens"],
    )


async def test_numbers_may_come_as_base64(subject: Subject) -> None:
    """float32, little-endian, as OpenAI's SDKs ask for; the same numbers."""
    body: dict[str, Any] = {"model": "demo", "input": [[1, 2, 3]], "dimensions": 5}
    plain = await subject.post(EMBEDDINGS, body)
    packed = await subject.post(EMBEDDINGS, {**body, "encoding_format": "base64"})

    data = b64decode(packed.json["data"][0]["embedding"])
    numbers = plain.json["data"][0]["embedding"]
    assert 5 == len(numbers)
    assert pytest.approx(numbers) == struct.unpack("<5f", data)


async def test_the_sdk_reads_them(subject: Subject) -> None:
    """The OpenAI SDK asks for base64 by itself."""
    client = openai.AsyncOpenAI(base_url=f"{subject.mesh.url}/v1", api_key=subject.mesh.master_key)
    async with client:
        embedded = await client.embeddings.create(model="demo", input="some text", dimensions=4)
        said = await client.completions.create(model="demo", prompt="Say one word", max_tokens=5)
        parts = [
            part.choices[0].text
            async for part in await client.completions.create(
                model="demo", prompt="Say one word", max_tokens=5, stream=True
            )
        ]

    assert 4 == len(embedded.data[0].embedding)
    assert said.object == "text_completion"
    assert said.choices[0].text == "".join(parts) != ""
    assert said.usage is not None and said.usage.completion_tokens <= 5


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 7}, "model"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input[0]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [[1, "b"]]}, "input[0][1]"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["x"] * 2_049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"user": 1}, "user"),
    ],
)
async def test_a_wrong_member_is_named(subject: Subject, change: dict[str, Any], param: str) -> None:
    """With 400, before anything is held."""
    answer = await subject.post(EMBEDDINGS, {"model": "demo", "input": "a"} | change)

    assert (400, param) == (answer.status, answer.json["error"]["param"]), answer.body


async def test_a_provider_without_embeddings_is_refused(subject: Subject) -> None:
    """Clearly, and nothing is charged."""
    answer = await subject.post(EMBEDDINGS, {"model": "claude", "input": "a"})

    assert 400 == answer.status, answer.body
    assert "embeddings" in answer.json["error"]["message"]
    assert 0 == (await subject.entries())[-1]["amount_nanos"]


async def test_a_completion_is_billed_and_named(subject: Subject) -> None:
    """Its usage and its kind are on the books."""
    answer = await subject.post(COMPLETIONS, {"model": "demo", "prompt": ["Say one word"]})

    assert 200 == answer.status, answer.body
    assert {"index", "text", "finish_reason", "logprobs"} == set(answer.json["choices"][0])
    entry = (await subject.entries())[-1]
    assert "atext_completion" == entry["call_type"]
    assert answer.json["usage"]["completion_tokens"] == entry["completion_tokens"]


@pytest.mark.parametrize("prompt", [None, ["a", "b"], [1, 2], 7])
async def test_a_completion_has_one_prompt(subject: Subject, prompt: object) -> None:
    """Anything else is refused, and said."""
    answer = await subject.post(COMPLETIONS, {"model": "demo", "prompt": prompt})

    assert (400, "prompt") == (answer.status, answer.json["error"]["param"]), answer.body
