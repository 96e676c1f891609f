"""Kinds of settings that name model groups. Names stay nodes, so that a missing one is reported by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from meshgate_chassis.config.kinds import KindError, flag, listing, mapping, named
from meshgate_chassis.config.node import Node


@dataclass(frozen=True, slots=True)
class Chain:
    """What comes after a group that fails. `node`: where it is written."""

    node: Node
    targets: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a group. Hidden: it works, but is not listed."""

    target: Node
    hidden: bool


Chains: TypeAlias = Mapping[str, Chain]
Aliases: TypeAlias = Mapping[str, Alias]


def group_names(node: Node) -> tuple[Node, ...]:
    """A list of group names. LiteLLM also allows {model: group, ...}: its group counts."""
    return tuple(_group_name(item) for item in ([node] if isinstance(node.value, str) else listing(node)))


def group_chains(node: Node) -> dict[str, Chain]:
    """LiteLLM's list of {group: [groups]}; one mapping will do as well. Of equal groups the first counts."""
    found: dict[str, Chain] = {}
    for part in [node] if isinstance(node.value, dict) else listing(node):
        for group, targets in mapping(part).items():
            found.setdefault(group, Chain(targets, group_names(targets)))
    return found


def group_aliases(node: Node) -> dict[str, Alias]:
    """{alias: group} or {alias: {model: group, hidden: bool}}."""
    found = {}
    for alias, target in mapping(node).items():
        hidden = target.mapping().get("hidden")
        found[alias] = Alias(_group_name(target), hidden is not None and flag(hidden))
    return found


def _group_name(node: Node) -> Node:
    name = node.mapping().get("model") if isinstance(node.value, dict) else node
    if name is None or not isinstance(name.value, str) or not name.value:
        raise KindError(f"must be the name of a model group, not {named(name or node)}", node=node)
    return name
