"""A value that a JSON schema accepts, made of the words of a question. Pure and deterministic.

Understands type, properties, required, items, enum, const, default, examples, anyOf/oneOf/allOf, $ref,
and the limits of strings, numbers and arrays. `pattern` is not understood.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

DEPTH_MAX = 12
ITEMS_MAX = 64

_FORMATS = {
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z]\w+(?: [A-Z]\w+)*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def value_for(schema: Mapping[str, Any], question: str) -> Any:
    """A value for `schema`; an empty schema gets an object with the question in it."""
    if not schema:
        return {"answer": question}
    return _Maker(schema, question).make(schema, "answer", 0)


class _Maker:
    def __init__(self, root: Mapping[str, Any], question: str) -> None:
        self._root = root
        self._names = _NAME.findall(question)
        self._numbers = _NUMBER.findall(question)

    def make(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("enum", "examples"):
            if schema.get(key):
                return schema[key][0]
        kind = _kind(schema)
        if depth >= DEPTH_MAX or kind == "null":
            return None
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind == "boolean":
            return True
        if kind in {"integer", "number"}:
            return self._number(schema, kind)
        return self._string(schema, name)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(DEPTH_MAX):
            if "$ref" in schema:
                schema = self._referenced(str(schema["$ref"]))
            elif "allOf" in schema:
                schema = _merged(schema)
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                schema = next((one for one in options if one.get("type") != "null"), options[0])
            else:
                return schema
        return {}

    def _referenced(self, pointer: str) -> Mapping[str, Any]:
        place: Any = self._root
        for step in pointer.removeprefix("#").strip("/").split("/"):
            if step:
                place = place.get(step, {}) if isinstance(place, Mapping) else {}
        return place if isinstance(place, Mapping) else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        wanted = schema.get("required") or list(properties)
        return {name: self.make(properties.get(name, {"type": "string"}), name, depth + 1) for name in wanted}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        size = min(max(int(schema.get("minItems", 1)), 1), int(schema.get("maxItems", ITEMS_MAX)), ITEMS_MAX)
        return [self.make(schema.get("items") or {"type": "string"}, name, depth + 1) for _ in range(size)]

    def _number(self, schema: Mapping[str, Any], kind: str) -> float | int:
        number = float(self._numbers[0]) if self._numbers else 1.0
        lowest, highest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        if "exclusiveMinimum" in schema:
            lowest = max(lowest, schema["exclusiveMinimum"] + 1)
        if "exclusiveMaximum" in schema:
            highest = min(highest, schema["exclusiveMaximum"] - 1)
        number = min(max(number, lowest), highest)
        if step := schema.get("multipleOf"):
            number = math.ceil(number / step) * step
        return int(number) if kind == "integer" or float(number).is_integer() else number

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        text = _FORMATS.get(str(schema.get("format"))) or (self._names[0] if self._names else name)
        text = text.ljust(int(schema.get("minLength", 0)), "x")
        return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _merged(schema: Mapping[str, Any]) -> dict[str, Any]:
    """One level of allOf: members are united, properties and required are added up."""
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged
