"""A configuration value that knows where it was written.

A node holds None, bool, int, float, str, a list of nodes or a dict of nodes. Nodes are never changed:
substitution builds new ones. `written` is the text of a scalar as the file has it, before substitution.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

CREDENTIAL = re.compile(
    r"^(sk|pk|rk|xai)-|^(gsk|hf)_|^AIza|^eyJ|^(Bearer|Basic) |[A-Za-z0-9+]{32,}|://[^/]*@", re.IGNORECASE
)
NAME_LENGTH_MAX = 80

Value: TypeAlias = bool | int | float | str | list["Node"] | dict[str, "Node"] | None


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file."""

    value: Value
    path: str  # of the file, as the operator named it
    line: int  # 1-based, of the key in a mapping, of the item in a list; 0: the whole file
    where: str  # dotted path, for example model_list[0].litellm_params.model
    written: Value = None

    def mapping(self) -> dict[str, "Node"]:
        """The members, when this is a mapping; else none."""
        return self.value if isinstance(self.value, dict) else {}

    def items(self) -> list["Node"]:
        """The items, when this is a list; else none."""
        return self.value if isinstance(self.value, list) else []

    def __repr__(self) -> str:
        """Without the value: it may be a secret."""
        return f"Node({self.path}:{self.line}: {self.where})"


def plain(node: Node) -> object:
    """The value without positions, as JSON has it."""
    if isinstance(node.value, dict):
        return {key: plain(member) for key, member in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def shown(name: str) -> str:
    """A name as messages may print it; hidden when it looks like a credential on the wrong line."""
    return "(hidden)" if len(name) > NAME_LENGTH_MAX or CREDENTIAL.search(name) else name


def member_path(where: str, key: str) -> str:
    """`router_settings` and `timeout` -> `router_settings.timeout`."""
    return f"{where}.{shown(key)}" if where else shown(key)
