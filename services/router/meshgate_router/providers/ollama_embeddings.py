"""Embeddings of Ollama (/api/embed): pure."""

from typing import Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.config.model import Deployment
from meshgate_router.providers.base import EmbeddingsAnswer, EmbeddingsRequest, senseless
from meshgate_router.providers.embeddings import (
    answer_object,
    extra_members,
    prompt_usage,
    texts_of,
    vectors_of,
)
from meshgate_router.providers.error_kinds import text_of

PATH: Final = "/api/embed"
_TOP_LEVEL: Final = frozenset({"truncate", "keep_alive", "options", "dimensions"})


def embeddings_body(wanted: EmbeddingsRequest, deployment: Deployment) -> JsonObject:
    """Raises ProviderError FIELD_INVALID."""
    rest = extra_members(wanted, deployment)
    body: JsonObject = {"model": deployment.upstream_model, "input": texts_of(wanted, "ollama")}
    if wanted.dimensions is not None:
        body["dimensions"] = wanted.dimensions
    body |= {name: value for name, value in rest.items() if name in _TOP_LEVEL}
    options = {name: value for name, value in rest.items() if name not in _TOP_LEVEL}
    given = body.get("options")
    options.update(given if isinstance(given, dict) else {})
    if options:
        body["options"] = options
    return body


def embeddings_answer(body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
    """Raises ProviderError."""
    answer = answer_object(body)
    listed = answer.get("embeddings")
    if not isinstance(listed, list):
        raise senseless("it has no embeddings")
    tokens = answer.get("prompt_eval_count")
    usage = prompt_usage(tokens) if isinstance(tokens, int) else None
    return EmbeddingsAnswer(vectors_of(listed, len(wanted.inputs)), usage, text_of(answer, "model"))
