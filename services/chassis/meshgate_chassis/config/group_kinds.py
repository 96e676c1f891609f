"""Kinds of settings that name model groups. The names stay nodes, so that a missing one is reported by line."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from meshgate_chassis.config.kinds import Invalid, listing, mapping, named
from meshgate_chassis.config.node import Node

GroupLists: TypeAlias = Mapping[str, Sequence[Node]]


def group_names(node: Node) -> tuple[Node, ...]:
    """A list of group names. LiteLLM also allows {model: group, ...}: its group counts."""
    return tuple(_group_name(item) for item in ([node] if isinstance(node.value, str) else listing(node)))


def group_lists(node: Node) -> dict[str, tuple[Node, ...]]:
    """LiteLLM's list of {group: [groups]}; one mapping of them will do as well. Of equal groups the first counts."""
    found: dict[str, tuple[Node, ...]] = {}
    for part in [node] if isinstance(node.value, dict) else listing(node):
        for group, targets in mapping(part).items():
            found.setdefault(group, group_names(targets))
    return found


def group_aliases(node: Node) -> dict[str, Node]:
    """{alias: group} or {alias: {model: group, hidden: bool}}."""
    return {alias: _group_name(target) for alias, target in mapping(node).items()}


def _group_name(node: Node) -> Node:
    name = node.value.get("model") if isinstance(node.value, dict) else node
    if name is None or not isinstance(name.value, str) or not name.value:
        raise Invalid(f"must be the name of a model group, not {named(name or node)}", node=node)
    return name
