"""Embeddings of OpenAI and everything that speaks its shape: pure."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import EmbeddingsAnswer, EmbeddingsRequest, senseless
from meshgate_router.providers.embeddings import (
    answer_object,
    extra_members,
    prompt_usage,
    texts_of,
    vectors_of,
)
from meshgate_router.providers.error_kinds import text_of
from meshgate_router.providers.openai_dialects import Dialect

PATH: Final = "/embeddings"


def embeddings_body(wanted: EmbeddingsRequest, deployment: Deployment, dialect: Dialect) -> JsonObject:
    """Raises ProviderError FIELD_INVALID."""
    inputs: list[Any] = list(wanted.inputs)
    if dialect.text_embeddings_only:
        inputs = list(texts_of(wanted, dialect.name))
    body: JsonObject = {"model": deployment.upstream_model, "input": inputs, "encoding_format": "float"}
    if wanted.dimensions is not None:
        body[dialect.renamed.get("dimensions", "dimensions")] = wanted.dimensions
    if wanted.user and "user" not in dialect.dropped:
        body["user"] = wanted.user
    body.update(extra_members(wanted, deployment))
    body["encoding_format"] = (
        "float"  # Numbers, whatever the defaults say: the client gets what it asked for.
    )
    return body


def embeddings_answer(body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
    """Raises ProviderError."""
    answer = answer_object(body)
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise senseless("it has no data")
    # By their own indices, if they have any: the order is not promised.
    ordered = sorted(enumerate(data), key=lambda pair: _place(pair[1], pair[0]))
    vectors = vectors_of([item.get("embedding") for _, item in ordered], len(wanted.inputs))
    return EmbeddingsAnswer(vectors, _usage(answer.get("usage")), text_of(answer, "model"))


def _place(item: JsonObject, position: int) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else position


def _usage(usage: Any) -> pb.Usage | None:
    tokens = usage.get("prompt_tokens", usage.get("total_tokens")) if isinstance(usage, dict) else None
    return prompt_usage(tokens) if isinstance(tokens, int) else None
