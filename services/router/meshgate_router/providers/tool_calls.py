"""What the providers of another shape share about tool calls. Pure."""

from typing import Any

from meshgate_chassis.chat.json import JsonObject, loads
from meshgate_chassis.errors import MeshError
from meshgate_router.providers.base import unfit


def call_arguments(text: Any, path: str) -> JsonObject:
    """The arguments of a call, which OpenAI writes as text. Raises ProviderError FIELD_INVALID."""
    if text is None or text == "":
        return {}
    try:
        value = loads(text) if isinstance(text, str) else None
    except MeshError:
        value = None
    if not isinstance(value, dict):
        raise unfit(path, "must be the text of a JSON object")
    return value
