"""Puts values of the environment where the file names them.

`os.environ/NAME` as a whole value, anywhere; an unset variable becomes None, with a warning.
`${NAME}` and `${NAME:-default}` inside a text (LiteLLM leaves these alone); the default also replaces an
empty variable, as in a shell. `$${` is a literal `${`. What was put in is not looked at again.
"""

import re
from collections.abc import Mapping

from meshgate_chassis.config.node import Node, shown
from meshgate_chassis.config.problems import Problems

WHOLE_PREFIX = "os.environ/"
REFERENCE = re.compile(
    r"\$(?P<escaped>\$)?\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?", re.ASCII
)


def substitute(node: Node, environ: Mapping[str, str], problems: Problems) -> Node:
    """The node with every reference resolved; `written` keeps the text of the file."""
    if isinstance(node.value, dict):
        members = {key: substitute(member, environ, problems) for key, member in node.value.items()}
        return Node(members, node.path, node.line, node.where)
    if isinstance(node.value, list):
        items = [substitute(item, environ, problems) for item in node.value]
        return Node(items, node.path, node.line, node.where)
    if not isinstance(node.value, str):
        return node
    value = _resolved(node, node.value, environ, problems)
    return node if value == node.value else Node(value, node.path, node.line, node.where, node.written)


def _resolved(node: Node, text: str, environ: Mapping[str, str], problems: Problems) -> str | None:
    if text.startswith(WHOLE_PREFIX):
        name = text.removeprefix(WHOLE_PREFIX).strip()
        if name not in environ:
            problems.warn(node, f"the environment variable {shown(name)} is not set")
        return environ.get(name)
    if "${" not in text:
        return text
    unset: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match[0].removeprefix("$")
        if match["name"] is None:
            return match[0]
        value = environ.get(match["name"])
        if match["default"] is not None:
            return value or match["default"]
        if value is None:
            unset.append(match["name"])
        return value or ""

    resolved = REFERENCE.sub(replacement, text)
    for name in unset:
        problems.warn(node, f"the environment variable {shown(name)} is not set")
    return None if unset and resolved == "" else resolved
