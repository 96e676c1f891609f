"""The official SDKs' own types as judges of what is sent to providers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pydantic
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from google.genai import types as google
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openai.types.completion_create_params import (
    CompletionCreateParamsNonStreaming as TextNonStreaming,
)
from openai.types.completion_create_params import CompletionCreateParamsStreaming as TextStreaming
from openai.types.embedding_create_params import EmbeddingCreateParams

_OPENAI: Final = {True: CompletionCreateParamsStreaming, False: CompletionCreateParamsNonStreaming}
_ANTHROPIC: Final = {True: MessageCreateParamsStreaming, False: MessageCreateParamsNonStreaming}
_TEXT: Final = {True: TextStreaming, False: TextNonStreaming}

_ADAPTERS: Final = {
    declared: pydantic.TypeAdapter(declared)
    for declared in (*_OPENAI.values(), *_ANTHROPIC.values(), *_TEXT.values(), EmbeddingCreateParams)
}
# The parts of a generateContent request, whose whole the SDK has no public type for.
_GOOGLE: Final[Mapping[str, Any]] = {
    "contents": list[google.Content],
    "systemInstruction": google.Content,
    "generationConfig": google.GenerationConfig,
    "tools": list[google.Tool],
    "toolConfig": google.ToolConfig,
    "safetySettings": list[google.SafetySetting],
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": str,
}


def check_openai(body: Mapping[str, Any]) -> None:
    """A chat completion. Raises ValidationError or AssertionError."""
    _check(_OPENAI[bool(body.get("stream"))], body)


def check_openai_text(body: Mapping[str, Any]) -> None:
    """A legacy text completion."""
    _check(_TEXT[bool(body.get("stream"))], body)


def check_openai_embeddings(body: Mapping[str, Any]) -> None:
    """Embeddings."""
    _check(EmbeddingCreateParams, body)


def check_anthropic(body: Mapping[str, Any]) -> None:
    """A message."""
    _check(_ANTHROPIC[bool(body.get("stream"))], body)


def check_google(body: Mapping[str, Any]) -> None:
    """A generateContent; Google's types refuse members that they do not know."""
    assert set() == set(body) - set(_GOOGLE)
    for name, value in body.items():
        text = pydantic.TypeAdapter(Any).dump_json(value)
        pydantic.TypeAdapter(_GOOGLE[name]).validate_json(text)


def _check(declared: Any, body: Mapping[str, Any]) -> None:
    unknown = set(body) - set(declared.__annotations__) - _inherited(declared)
    assert set() == unknown
    _look_at_all(_ADAPTERS[declared].validate_python(body))


def _inherited(declared: Any) -> set[str]:
    return set(getattr(declared, "__required_keys__", ())) | set(getattr(declared, "__optional_keys__", ()))


def _look_at_all(value: Any) -> None:
    """Types say `Iterable`, which pydantic checks only as it is read."""
    if isinstance(value, Mapping):
        for item in value.values():
            _look_at_all(item)
    elif not isinstance(value, (str, bytes, int, float, bool, Sequence, type(None))) or isinstance(
        value, (list, tuple)
    ):
        for item in value:
            _look_at_all(item)
