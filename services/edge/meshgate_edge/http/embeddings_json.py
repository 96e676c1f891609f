"""JSON <-> embeddings, in OpenAI's shape. Pure. Source: OpenAI API reference, POST /v1/embeddings."""

import struct
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps, kind_name
from meshgate_chassis.errors import invalid_field
from meshgate_protos.embeddings.v1 import embeddings_pb2 as pb

INPUTS_MAX: Final = 2_048
MODEL_CHARACTERS_MAX: Final = 256
TOKEN_MAX: Final = 2**31 - 1
FORMATS: Final = ("float", "base64")
_TYPED: Final = frozenset({"model", "input", "dimensions", "user", "encoding_format"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and how its numbers are to be written."""

    request: pb.EmbeddingsRequest
    encoding_format: str


def asked_from_json(body: JsonObject) -> Asked:
    """Raises `invalid_field` with the member's name, as OpenAI writes it."""
    model = body.get("model")
    if type(model) is not str or not 1 <= len(model) <= MODEL_CHARACTERS_MAX:
        raise invalid_field("model", f"model must be a string of 1 to {MODEL_CHARACTERS_MAX} characters")
    request = pb.EmbeddingsRequest(model=model, inputs=_inputs(body.get("input")))
    dimensions = body.get("dimensions")
    if dimensions is not None:
        if type(dimensions) is not int or not 1 <= dimensions <= TOKEN_MAX:
            raise invalid_field("dimensions", "dimensions must be an integer of 1 or more")
        request.dimensions = dimensions
    user = body.get("user")
    if user is not None:
        if type(user) is not str:
            raise invalid_field("user", f"user must be a string, not {kind_name(user)}")
        request.user = user
    encoding_format = body.get("encoding_format") or FORMATS[0]
    if encoding_format not in FORMATS:
        raise invalid_field("encoding_format", "encoding_format must be 'float' or 'base64'")
    extra = {name: value for name, value in body.items() if name not in _TYPED}
    if extra:
        request.extra_json = dumps(extra)
    return Asked(request, encoding_format)


def body_of(response: pb.EmbeddingsResponse, encoding_format: str, cost: JsonObject | None) -> JsonObject:
    """OpenAI's answer; `cost` is LiteLLM's member."""
    usage = response.usage
    body: JsonObject = {
        "object": "list",
        "model": response.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(item, encoding_format)}
            for index, item in enumerate(response.embeddings)
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": 0,
            "total_tokens": usage.prompt_tokens,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
    }
    if cost is not None:
        body["cost"] = cost
    return body


def _written(item: pb.Embedding, encoding_format: str) -> Any:
    if encoding_format == "base64":
        return b64encode(struct.pack(f"<{len(item.values)}f", *item.values)).decode()
    return list(item.values)


def _inputs(value: Any) -> list[pb.EmbeddingInput]:
    """A text, a list of texts, a list of tokens, or a list of such lists."""
    if type(value) is str:
        return [_text("input", value)]
    if type(value) is not list or not value:
        raise invalid_field("input", "input must be a string or a list that is not empty")
    if type(value[0]) is int:
        return [_tokens("input", value)]
    if len(value) > INPUTS_MAX:
        raise invalid_field("input", f"input may have at most {INPUTS_MAX} items")
    return [
        _text(f"input[{index}]", item) if type(item) is str else _tokens(f"input[{index}]", item)
        for index, item in enumerate(value)
    ]


def _text(path: str, value: str) -> pb.EmbeddingInput:
    if not value:
        raise invalid_field(path, f"{path} must not be empty")
    return pb.EmbeddingInput(text=value)


def _tokens(path: str, value: Any) -> pb.EmbeddingInput:
    if type(value) is not list or not value:
        raise invalid_field(path, f"{path} must be a string or a list of tokens")
    for position, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= TOKEN_MAX:
            raise invalid_field(f"{path}[{position}]", f"{path}[{position}] must be a token's number")
    return pb.EmbeddingInput(tokens=pb.TokenIds(ids=value))
