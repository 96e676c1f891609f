"""Joins the fragments of streamed members that meshgate has no typed field for.

As OpenAI's own clients do: strings and lists grow, objects merge member by member, anything else is
replaced. A null says nothing. Strings are joined once, in `joined`: a long audio stream stays linear.
"""

from typing import Any, Final

# Labels and lists that a provider repeats whole; joined they would say nonsense.
_REPLACED: Final = frozenset({"type", "id", "format", "role", "name", "status", "executed_tools"})

# Consecutive list items of these types are one item that grows. A tuple: a type may be any JSON.
_GROWING_TYPES: Final = ("text", "thinking")


class _Text:
    """A string under construction."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: str) -> None:
        self.pieces = list(pieces)


def merge(old: Any, new: Any, name: str = "") -> Any:
    """What `old`, itself a result of `merge` or None, becomes with the fragment `new`.

    Takes both over: neither may be used afterwards. Read the result through `joined`.
    """
    if new is None:
        return old
    if old is None or name in _REPLACED:
        return new
    if type(new) is str:
        if type(old) is _Text:
            old.pieces.append(new)
            return old
        return _Text(old, new) if type(old) is str else new
    if type(old) is not type(new):
        return new
    if type(new) is dict:
        for key, value in new.items():
            old[key] = merge(old.get(key), value, key)
        return old
    if type(new) is list:
        extend(old, new)
        return old
    return new


def extend(items: list[Any], fragments: list[Any]) -> None:
    """Adds fragments of items: to the item of the same `index`, else to the last if it grows.

    Only the first fragment can go on with the last item; two in one list are two items.
    """
    for position, fragment in enumerate(fragments):
        target = _target(items, fragment, may_grow=position == 0)
        if target is None:
            items.append(fragment)
        else:
            merge(target, fragment)


def joined(value: Any) -> Any:
    """A plain JSON value, which shares no container with the one under construction."""
    if type(value) is _Text:
        return "".join(value.pieces)
    if type(value) is dict:
        return {key: joined(item) for key, item in value.items()}
    if type(value) is list:
        return [joined(item) for item in value]
    return value


def _target(items: list[Any], fragment: Any, *, may_grow: bool) -> Any:
    """The item that the fragment continues, or None."""
    if type(fragment) is not dict or not items:
        return None
    index = fragment.get("index")
    if type(index) is int:
        for item in reversed(items):
            if type(item) is dict and item.get("index") == index:
                return item
        return None
    last = items[-1]
    kind = fragment.get("type")
    if not may_grow or kind not in _GROWING_TYPES or type(last) is not dict or last.get("type") != kind:
        return None
    # A thinking block ends with its signature: what comes after it is the next block.
    return None if last.get("signature") else last
