"""Reads a mapping by a table of its known keys, and reports the rest; `name_*` is any key that begins so."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from meshgate_chassis.config.kinds import Kind, KindError, anything, named
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems, nearest

Table: TypeAlias = Mapping[str, Kind]

WILDCARD = "_*"
UNKNOWN = "unknown key: it has no effect"


def accepted(keys: tuple[str, ...]) -> Table:
    """Known keys that may be anything."""
    return dict.fromkeys(keys, anything)


def read_table(node: Node | None, table: Table, problems: Problems, unknown: str = UNKNOWN) -> dict[str, Any]:
    """The valid values by key. What is null, empty or wrong (reported) counts as not given."""
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        problems.error(node, f"must be a mapping, not {named(node)}")
        return {}
    found: dict[str, Any] = {}
    for key, member in node.value.items():
        kind = kind_of(key, table)
        if kind is None:
            problems.warn(
                member, unknown, nearest(key, (name for name in table if not name.endswith(WILDCARD)))
            )
        elif not is_empty(member):
            try:
                found[key] = kind(member)
            except KindError as error:
                problems.error(error.node or member, error.message, error.suggestion)
    return found


def kind_of(key: str, table: Table) -> Kind | None:
    """The kind of a key: by its name, else by the longest beginning."""
    if key in table:
        return table[key]
    patterns = (name for name in table if name.endswith(WILDCARD) and key.startswith(name.removesuffix("*")))
    longest = max(patterns, key=len, default=None)
    return None if longest is None else table[longest]


def is_empty(node: Node) -> bool:
    """Null, or empty text: a variable that is set to nothing."""
    return node.value is None or (isinstance(node.value, str) and not node.value.strip())
