"""JSON schemas -> those that Anthropic's structured output takes: pure.

Source: Anthropic's documentation of structured outputs. What it does not enforce is told to the model in the
description; what it cannot say at all makes the whole schema None, and a forced tool is used instead.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps

_DEPTH_MAX: Final = 64
_KEPT: Final = frozenset({"title", "description", "enum", "const", "type", "required", "default"})
_DEFINITIONS: Final = ("$defs", "definitions")
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_SILENT: Final = frozenset({"additionalProperties", "$schema", "$id", "$comment", "strict"})


class _CannotSayError(Exception):
    """Something in the schema has no equivalent."""


def native_schema(schema: JsonObject) -> JsonObject | None:
    """None: it cannot be said."""
    if _is_recursive(schema):
        return None
    try:
        return _said(schema, _DEPTH_MAX)
    except _CannotSayError:
        return None


def _said(schema: Any, depth: int) -> JsonObject:
    if not isinstance(schema, dict) or depth == 0:
        raise _CannotSayError
    said: JsonObject = {name: value for name, value in schema.items() if name in _KEPT}
    told: JsonObject = {}
    for name, value in schema.items():
        if name in _DEFINITIONS or name == "properties":
            said[name] = {key: _said(item, depth - 1) for key, item in _object(value).items()}
        elif name in ("anyOf", "oneOf", "allOf"):
            said["allOf" if name == "allOf" else "anyOf"] = [_said(item, depth - 1) for item in value or ()]
        elif name == "items":
            said[name] = _said(value, depth - 1)
        elif _is_enforced(name, value):
            said[name] = value
        elif name not in _KEPT and name not in _SILENT:
            told[name] = value
    _check(schema, said)
    if schema.get("type") == "object" or "properties" in schema:
        said.setdefault("properties", {})
        said["additionalProperties"] = False
    if told:
        said["description"] = f"{said.get('description', '')}\n{dumps(told).decode()}".strip()
    return said


def _is_enforced(name: str, value: Any) -> bool:
    return (
        (name == "$ref" and isinstance(value, str) and value.startswith("#"))
        or (name == "format" and value in _FORMATS)
        or (name == "minItems" and value in (0, 1))
    )


def _check(schema: JsonObject, said: JsonObject) -> None:
    """Maps with free keys, and values of any kind, cannot be said."""
    if schema.get("additionalProperties") not in (None, False):
        raise _CannotSayError
    if not said.keys() & {"type", "anyOf", "allOf", "$ref", "enum", "const", "properties"}:
        raise _CannotSayError
    if schema.get("type") == "object" and not schema.get("properties"):
        raise _CannotSayError
    if schema.get("type") == "array" and "items" not in schema:
        raise _CannotSayError


def _is_recursive(schema: JsonObject) -> bool:
    definitions: dict[str, Any] = {"#": {}}
    for place in _DEFINITIONS:
        for name, definition in _object(schema.get(place)).items():
            definitions[f"#/{place}/{name}"] = definition
    uses = {name: set(_references(definition)) for name, definition in definitions.items()}
    uses["#"] = set()
    if "#" in set(_references(schema)):
        return True
    reached = {name: set(used) for name, used in uses.items()}
    for _ in uses:  # as often as the longest way is long
        for used in reached.values():
            used |= {further for name in list(used) for further in uses.get(name, ())}
    return any(name in used for name, used in reached.items())


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
