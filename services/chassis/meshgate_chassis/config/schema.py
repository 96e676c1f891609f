"""Reads a mapping by a table of its known keys, and reports the rest."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from meshgate_chassis.config.kinds import Invalid, Kind, named
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems, nearest

Table: TypeAlias = Mapping[str, Kind]

UNKNOWN = "unknown key: it has no effect"


def read_table(node: Node | None, table: Table, problems: Problems, unknown: str = UNKNOWN) -> dict[str, Any]:
    """The valid values by key. What is null or empty counts as not given, and so does what is wrong (reported)."""
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        problems.error(node, f"must be a mapping, not {named(node)}")
        return {}
    found: dict[str, Any] = {}
    for key, member in node.value.items():
        kind = table.get(key)
        if kind is None:
            problems.warn(member, unknown, nearest(key, table))
        elif not is_empty(member):
            try:
                found[key] = kind(member)
            except Invalid as error:
                problems.error(error.node or member, error.message, error.suggestion)
    return found


def is_empty(node: Node) -> bool:
    """Null, or empty text: a variable that is set to nothing."""
    return node.value is None or (isinstance(node.value, str) and not node.value.strip())
