"""Warns of every key that is set and that nothing acts on yet; which ones: `config/not_yet.py`."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from meshgate_chassis.config.node import Node
from meshgate_chassis.config.not_yet import NOT_YET, SAID
from meshgate_chassis.config.problems import Problems

ITEMS = "[]"


def warn_not_enforced(sections: Mapping[str, Node], problems: Problems) -> None:
    """One warning for each row that is set, at its first place. What is reported as wrong is left out."""
    for row in NOT_YET:
        nodes = [
            node
            for node in _found(sections, row.key.split("."))
            if _asks(node, row.acted_on) and not problems.is_wrong(node)
        ]
        if nodes:
            places = f" (the first of {len(nodes)} places)" if len(nodes) > 1 else ""
            problems.warn(nodes[0], f"{SAID}: {row.instead}{places}")


def _found(members: Mapping[str, Node], steps: list[str]) -> Iterator[Node]:
    """The nodes at the end of a path."""
    step, rest = steps[0], steps[1:]
    for name, node in members.items():
        if not fnmatchcase(name, step.removesuffix(ITEMS)):
            continue
        for each in node.items() if step.endswith(ITEMS) else [node]:
            if rest:
                yield from _found(each.mapping(), rest)
            else:
                yield each


def _asks(node: Node, acted_on: tuple[str, ...]) -> bool:
    """Whether it wants anything that does not happen. Null, false and what is empty want nothing."""
    if isinstance(node.value, dict | list) and not node.value:
        return False
    if node.value is None or node.value is False or str(node.value).strip().lower() in ("", "false"):
        return False
    wanted = node.items() or [node]
    return not all(isinstance(each.value, str) and each.value in acted_on for each in wanted)
