"""Reads one YAML file into nodes that know their lines.

Scalars mean what PyYAML makes of them, because LiteLLM reads with PyYAML (YAML 1.1: `yes` and `on` are
booleans). Exceptions, all of which only ever surprised people: dates and base-60 numbers stay text
(`api_version: 2024-02-01`), and `1e-7` is a number. Only the standard tags are allowed; no objects are made.
"""

import math
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from meshgate_chassis.config.node import Node, Value, member_path, shown
from meshgate_chassis.config.problems import Problems

FILE_BYTES_MAX = 4 * 1024 * 1024
NODES_MAX = 200_000  # after expansion of aliases: a "billion laughs" file ends here
DEPTH_MAX = 60

TAG = "tag:yaml.org,2002:"
MERGE = TAG + "merge"
STANDARD_TAGS = {
    TAG + name for name in ("map", "seq", "str", "bool", "int", "float", "null", "timestamp", "value")
}
BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def read_yaml(path: Path, problems: Problems) -> Node:
    """The file as one mapping node; an empty one when it is empty, or cannot be read (a problem says so)."""
    name = str(path)
    root = Node({}, name, 0, "")
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            problems.error(root, f"the file is larger than {FILE_BYTES_MAX} bytes")
            return root
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.error(root, f"cannot be read: {error.strerror}")
        return root
    except UnicodeDecodeError:
        problems.error(root, "the file is not UTF-8")
        return root
    return parse_yaml(text, name, problems)


def parse_yaml(text: str, name: str, problems: Problems) -> Node:
    """The text as one mapping node, see `read_yaml`."""
    root = Node({}, name, 0, "")
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    try:
        composed = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        problems.error(Node(None, name, line, "yaml"), _syntax_message(error))
        return root
    except (YAMLError, RecursionError, ValueError):  # characters YAML forbids; absurd nesting
        problems.error(root, "the file is not YAML")
        return root
    if composed is None:
        return root
    document = _Builder(name, problems).build(composed, line=0, where="", depth=0)
    if document.value is None:
        return root
    if not isinstance(document.value, dict):
        problems.error(root, "the file is not a mapping of sections")
        return root
    return document


def _syntax_message(error: MarkedYAMLError) -> str:
    """The parser's words without the file's: an undefined alias may be somebody's password."""
    said = re.sub(r"(['\"])[^'\"]{2,}\1", "(hidden)", str(error.problem or error.context or "not YAML"))
    return f"YAML syntax: {said}"


class _Builder:
    """Turns composed YAML nodes into ours, within limits."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._nodes_left = NODES_MAX

    def build(self, source: YamlNode, line: int, where: str, depth: int) -> Node:
        """One node and everything below it. `line` is 1-based."""
        here = Node(None, self._name, line, where)
        self._nodes_left -= 1
        if self._nodes_left < 0 or depth > DEPTH_MAX:
            if self._nodes_left >= -1:
                self._problems.error(here, "the file is nested too deeply, or its aliases expand too far")
            self._nodes_left = min(self._nodes_left, -1)
            return here
        if str(source.tag) not in STANDARD_TAGS:
            self._problems.error(here, "YAML tags are not allowed here")
            return here
        if isinstance(source, MappingNode):
            return Node(self._mapping(source, where, depth), self._name, line, where)
        if isinstance(source, SequenceNode):
            items = [
                self.build(item, item.start_mark.line + 1, f"{where}[{index}]", depth + 1)
                for index, item in enumerate(source.value)
            ]
            return Node(items, self._name, line, where)
        assert isinstance(source, ScalarNode)
        value = scalar(str(source.value), str(source.tag), plain_style=source.style is None)
        return Node(value, self._name, line, where, written=value)

    def _mapping(self, source: MappingNode, where: str, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in source.value:
            line = key_node.start_mark.line + 1
            if str(key_node.tag) == MERGE:
                for base in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                    merged = {**self.build(base, line, where, depth + 1).mapping(), **merged}
                continue
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else ""
            member = self.build(value_node, line, member_path(where, key), depth + 1)
            if not isinstance(key_node, ScalarNode):
                self._problems.error(member, "a key must be text")
            elif key in members:
                self._problems.warn(member, f"the key {shown(key)!r} is given twice: the last one counts")
            members[key] = member
        return {**merged, **members}


def scalar(text: str, tag: str, *, plain_style: bool) -> Value:
    """A scalar by its YAML 1.1 tag; see the module for the exceptions."""
    kind = tag.removeprefix(TAG)
    if kind == "null":
        return None
    if kind == "bool":  # PyYAML, unlike YAML 1.1, leaves y and n alone
        return BOOLEANS.get(text.lower(), text)
    if kind == "int" and INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if kind == "float" and plain_style and ":" not in text:
        try:
            number = float(text.replace("_", ""))
        except ValueError:  # .inf and .nan: no setting means them
            return text
        return number if math.isfinite(number) else text
    return text
