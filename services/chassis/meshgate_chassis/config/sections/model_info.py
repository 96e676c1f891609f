"""`model_info` of an entry of `model_list`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshgate_chassis.config.known_model_keys import MODEL_INFO
from meshgate_chassis.config.node import Node, plain
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import kind_of, read_table


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is said about a model. `values`: what is known, checked. `members`: all of it, as written, for
    `/model/info`."""

    id: str | None
    id_node: Node | None
    mode: str | None
    values: Mapping[str, Any]
    members: Mapping[str, object]


def read_model_info(node: Node | None, problems: Problems) -> ModelInfo:
    """Members that are not known are kept without a word: model_info is the operator's notebook."""
    members = node.mapping() if node is not None else {}
    table = {key: kind for key in members if (kind := kind_of(key, MODEL_INFO)) is not None}
    known = {key: member for key, member in members.items() if key in table}
    read_from = Node(known, node.path, node.line, node.where) if node is not None else None
    values = read_table(read_from, table, problems)
    return ModelInfo(
        id=values.get("id"),
        id_node=members.get("id"),
        mode=values.get("mode"),
        values=values,
        members={key: plain(member) for key, member in members.items()},
    )
