"""Embeddings: golden requests and answers of each provider, and recorded answers of three of them."""

import json
import struct
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from meshgate_router.providers.base import (
    EmbeddingsAnswer,
    EmbeddingsProvider,
    EmbeddingsRequest,
    ErrorKind,
    ProviderError,
)
from meshgate_router.providers.registry import providers
from tests.golden.sdk_types import check_openai_embeddings
from tests.support.cassettes import Exchange, all_exchanges
from tests.support.deployments import SECRET, deployment

TABLE = providers()
CASES = json.loads((Path(__file__).parent / "providers" / "embeddings.json").read_text())


def provider_of(name: str) -> EmbeddingsProvider:
    provider = TABLE[name]
    assert isinstance(provider, EmbeddingsProvider)
    return provider


def wanted_of(case: dict[str, Any]) -> EmbeddingsRequest:
    inputs = tuple(item if isinstance(item, str) else tuple(item) for item in case["inputs"])
    return EmbeddingsRequest(model="m", inputs=inputs, **case.get("members", {}))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['provider']}-{case['name']}")
def test_requests_and_answers(case: dict[str, Any]) -> None:
    """What is sent, and what is made of the answer."""
    provider, wanted = provider_of(case["provider"]), wanted_of(case)
    where = deployment("m", case["provider"], **{"upstream_model": "model-1", **case.get("deployment", {})})
    request = provider.embeddings_request(wanted, where)

    assert case["expected"] == {"url": request.url, "body": json.loads(request.body)}
    assert SECRET in "".join(request.headers.values())
    if case["provider"] in ("openai", "azure") and "extra" not in case.get("members", {}):
        check_openai_embeddings({**json.loads(request.body), "input": "lists of tokens are read lazily"})
    answer = provider.embeddings_answer(json.dumps(case["answer"]).encode(), wanted)
    vectors, tokens = case["read"]
    assert [tuple(vector) for vector in vectors] == list(answer.vectors)
    assert tokens == (None if answer.usage is None else answer.usage.prompt_tokens)
    if answer.usage is not None:
        assert (0, tokens) == (answer.usage.completion_tokens, answer.usage.total_tokens)


def recorded(provider: str) -> list[Exchange]:
    """The recorded embeddings that were answered."""
    return [
        item for item in all_exchanges(provider) if "mbed" in item.path.rpartition("/")[2] and item.answers
    ]


@pytest.mark.parametrize(("provider", "count"), [("openai", 12), ("gemini", 5), ("mistral", 1)])
def test_recorded_answers(provider: str, count: int) -> None:
    """Every vector, in order, exactly; and the usage. What is sent back is what was recorded."""
    found = recorded(provider)
    for exchange in found:
        if provider == "gemini":
            inputs = [item["content"]["parts"][0]["text"] for item in exchange.request["requests"]]
        else:
            given = exchange.request["input"]
            inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else given
        texts = tuple(item if isinstance(item, str) else tuple(item) for item in inputs)
        wanted = EmbeddingsRequest("m", texts, exchange.request.get("dimensions"))
        answer = provider_of(provider).embeddings_answer(exchange.raw, wanted)
        body = json.loads(exchange.raw)
        listed = body.get("embeddings") or body["data"]
        told = body.get("usageMetadata") or body["usage"]
        assert [vector_of(item) for item in listed] == list(answer.vectors)
        assert answer.usage is not None
        assert told.get("prompt_tokens", told.get("promptTokenCount")) == answer.usage.prompt_tokens
        sent = provider_of(provider).embeddings_request(
            wanted, deployment("m", provider, upstream_model=exchange.model)
        )
        if provider == "gemini":
            assert exchange.request == json.loads(sent.body)
        else:
            expected = {**exchange.request, "input": inputs, "encoding_format": "float"}
            assert expected == json.loads(sent.body)
    assert count == len(found)


def vector_of(item: dict[str, Any]) -> tuple[float, ...]:
    """As it was recorded."""
    value = item.get("values") or item["embedding"]
    if isinstance(value, str):
        data = b64decode(value)
        return tuple(number for (number,) in struct.iter_unpack("<f", data))
    return tuple(value)


def openai_answer(*data: dict[str, Any]) -> EmbeddingsAnswer:
    body = json.dumps({"data": data, "model": "x", "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    return provider_of("openai").embeddings_answer(body.encode(), EmbeddingsRequest("m", ("a", "b")))


def test_the_order_is_that_of_the_indices() -> None:
    """And base64 is read as well, whoever sends it."""
    packed = b64encode(struct.pack("<2f", 0.5, -2)).decode()
    answer = openai_answer({"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": packed})

    assert ((0.5, -2.0), (1.0,)) == answer.vectors


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"embedding": [1.0]}],
        [{"embedding": []}] * 2,
        [{"embedding": "?"}] * 2,
        [{"embedding": None}] * 2,
    ],
)
def test_nonsense_is_no_answer(data: list[dict[str, Any]]) -> None:
    """A vector for each input, or none at all."""
    with pytest.raises(ProviderError) as caught:
        openai_answer(*data)
    assert ErrorKind.OTHER is caught.value.kind


@pytest.mark.parametrize("name", ["gemini", "mistral", "ollama"])
def test_tokens_are_for_openai(name: str) -> None:
    """Other providers have other tokens: refused by the name of the input."""
    wanted = EmbeddingsRequest("m", ("a", (1, 2)))
    with pytest.raises(ProviderError) as caught:
        provider_of(name).embeddings_request(wanted, deployment("m", name))
    assert (ErrorKind.FIELD_INVALID, ["input[1]"]) == (caught.value.kind, list(caught.value.fields))


def test_anthropic_has_none() -> None:
    """The table tells by the type."""
    assert not isinstance(TABLE["anthropic"], EmbeddingsProvider)
