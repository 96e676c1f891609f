"""JSON text -> the one text that stands for its value: members sorted, no white space. Pure.

Invariants: equal values give equal text, whatever the order of their members; different values give
different text. A text that is no JSON, or whose numbers are beyond what we can read exactly, stands only
for itself: it is marked, so that it cannot be mistaken for the canonical text of something else.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError)
_NOT_JSON: Final = b"\x00"  # no JSON text begins with it


def canonical_json(text: bytes) -> bytes:
    """The canonical text of one JSON value; `text` itself, marked, when it is none."""
    try:
        return _ENCODER.encode(_DECODER.decode(text))
    except _UNREADABLE:
        return _NOT_JSON + text


def canonical_members(text: bytes, ignored: AbstractSet[str] = frozenset()) -> bytes:
    """The canonical text of an object without its `ignored` members; empty when none is left.

    An object without members and no text at all mean the same: `extra_json` says "nothing more" both ways.
    """
    try:
        value = _DECODER.decode(text)
        if type(value) is not dict:
            return _ENCODER.encode(value)
        kept = {name: member for name, member in value.items() if name not in ignored}
        return _ENCODER.encode(kept) if kept else b""
    except _UNREADABLE:
        return _NOT_JSON + text


def has_a_value(text: bytes) -> bool:
    """True when a member of the object is neither null, false, zero nor empty; and for what is no object."""
    try:
        value = _DECODER.decode(text)
    except _UNREADABLE:
        return True
    return any(value.values()) if type(value) is dict else True
