"""Texts, counts and documents of the contract, checked. Each raises `invalid_field`."""

import json
from collections.abc import Iterable

from meshgate_chassis.errors import invalid_field

NAME_CHARACTERS_MAX = 256
DOCUMENT_BYTES_MAX = 256 * 1024


def text_from(
    field: str, text: str, characters_max: int = NAME_CHARACTERS_MAX, *, required: bool = False
) -> str:
    """A text that PostgreSQL can keep."""
    if required and not text:
        raise invalid_field(field, "is required")
    if len(text) > characters_max:
        raise invalid_field(field, f"has more than {characters_max} characters")
    if "\0" in text:
        raise invalid_field(field, "has a NUL character")
    return text


def count_from(field: str, value: int, maximum: int) -> int:
    """0 to `maximum`."""
    if not 0 <= value <= maximum:
        raise invalid_field(field, f"must be 0 to {maximum}")
    return value


def document_from(field: str, text: str) -> str:
    """JSON as it was given, or nothing."""
    if len(text.encode()) > DOCUMENT_BYTES_MAX:
        raise invalid_field(field, f"has more than {DOCUMENT_BYTES_MAX} bytes")
    if text:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            raise invalid_field(field, "is not JSON") from None
    return text_from(field, text, DOCUMENT_BYTES_MAX)


def ids_from(field: str, texts: Iterable[str], count_max: int) -> tuple[str, ...]:
    """At most `count_max`, without repeats."""
    found = tuple(dict.fromkeys(text_from(field, text) for text in texts))
    if len(found) > count_max:
        raise invalid_field(field, f"has more than {count_max} items")
    return found
