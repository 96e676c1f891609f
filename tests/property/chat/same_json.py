"""Equality of JSON values, which is not that of Python: true is not 1."""

from typing import Any


def same_json(left: Any, right: Any) -> bool:
    """Numbers are equal as numbers; an integer beyond a double is never taken for a float."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right


def integers_kept(left: Any, right: Any, floats_allowed: frozenset[str], name: str = "") -> bool:
    """Every integer of `left` is an integer in `right`, except in members that are floats by type."""
    if isinstance(left, dict):
        return all(integers_kept(left[k], right[k], floats_allowed, k) for k in left)
    if isinstance(left, list):
        return all(integers_kept(a, b, floats_allowed) for a, b in zip(left, right, strict=True))
    if isinstance(left, int):
        return isinstance(right, int) or name in floats_allowed
    return True
