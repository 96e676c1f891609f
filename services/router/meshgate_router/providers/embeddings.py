"""What the providers' translations of embeddings share: pure."""

import struct
from base64 import b64decode
from binascii import Error
from collections.abc import Sequence
from typing import Any

from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.config.model import Deployment
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import EmbeddingsRequest, senseless, unfit

_OWN_MEMBERS = frozenset({"drop_params", "additional_drop_params", "allowed_openai_params", "extra_headers"})


def extra_members(wanted: EmbeddingsRequest, deployment: Deployment) -> JsonObject:
    """Members that nobody translates: the deployment's defaults below, `extra_body` above."""
    found = {**deployment.request_defaults, **wanted.extra}
    dropped = found.get("additional_drop_params")
    names = _OWN_MEMBERS | {"extra_body"} | set(dropped if isinstance(dropped, list) else ())
    body = {name: value for name, value in found.items() if name not in names and value is not None}
    extra = found.get("extra_body")
    return {**body, **(extra if isinstance(extra, dict) else {})}


def texts_of(wanted: EmbeddingsRequest, provider: str) -> list[str]:
    """The inputs, for providers that take no tokens. Raises ProviderError FIELD_INVALID."""
    for index, item in enumerate(wanted.inputs):
        if not isinstance(item, str):
            raise unfit(f"input[{index}]", f"is a list of tokens: {provider} takes texts only")
    return [item for item in wanted.inputs if isinstance(item, str)]


def answer_object(body: bytes) -> JsonObject:
    """Raises ProviderError."""
    try:
        return loads_object(body)
    except MeshError as error:
        raise senseless(error.message) from error


def vectors_of(found: Sequence[Any], count: int) -> tuple[tuple[float, ...], ...]:
    """Each a list of numbers, or of float32s in base64. Raises ProviderError unless there are `count`."""
    if len(found) != count:
        raise senseless(f"it has {len(found)} vectors for {count} inputs")
    return tuple(_vector(item) for item in found)


def prompt_usage(tokens: int) -> pb.Usage:
    """Embeddings have no completion."""
    return pb.Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)


def _vector(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        try:
            data = b64decode(value, validate=True)
            return struct.unpack(f"<{len(data) // 4}f", data)
        except (Error, struct.error) as error:
            raise senseless("a vector is no base64 of float32s") from error
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(number, int | float) for number in value)
    ):
        raise senseless("a vector is no list of numbers")
    return tuple(value)
