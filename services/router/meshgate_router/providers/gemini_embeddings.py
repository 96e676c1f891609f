"""Embeddings of Gemini (batchEmbedContents): pure."""

from typing import Any, Final

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

METHOD: Final = "batchEmbedContents"
# Under LiteLLM's and Google's names for them.
_MEMBERS: Final = {
    "task_type": "taskType",
    "taskType": "taskType",
    "input_type": "taskType",
    "title": "title",
}


def embeddings_body(wanted: EmbeddingsRequest, deployment: Deployment) -> JsonObject:
    """Raises ProviderError FIELD_INVALID."""
    model = deployment.upstream_model
    common: JsonObject = {"model": model if "/" in model else f"models/{model}"}
    if wanted.dimensions is not None:
        common["outputDimensionality"] = wanted.dimensions
    for name, value in extra_members(wanted, deployment).items():
        common[_MEMBERS.get(name, name)] = value
    return {
        "requests": [
            {**common, "content": {"parts": [{"text": text}]}} for text in texts_of(wanted, "gemini")
        ]
    }


def embeddings_answer(body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
    """Older models tell no usage. Raises ProviderError."""
    answer = answer_object(body)
    listed = answer.get("embeddings")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise senseless("it has no embeddings")
    vectors = vectors_of([item.get("values") for item in listed], len(wanted.inputs))
    return EmbeddingsAnswer(vectors, _usage(answer.get("usageMetadata")), wanted.model)


def _usage(usage: Any) -> Any:
    tokens = usage.get("promptTokenCount") if isinstance(usage, dict) else None
    return prompt_usage(tokens) if isinstance(tokens, int) else None
