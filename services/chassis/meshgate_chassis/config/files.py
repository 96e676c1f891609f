"""The sections of a configuration and of the files it includes.

As in LiteLLM, lists of an included file are appended and its other values win. Unlike there, sections
are merged key by key, so that an included file need not repeat the rest of a section.
"""

from pathlib import Path

from meshgate_chassis.config.kinds import KindError, names
from meshgate_chassis.config.node import Node, shown
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.yaml_source import read_yaml

INCLUDE_DEPTH_MAX = 5


def read_files(path: Path, problems: Problems, above: tuple[Path, ...] = ()) -> Node:
    """The file as one mapping of sections, with everything it includes, relative to itself."""
    root = read_yaml(path, problems)
    include = root.mapping().get("include")
    if include is None or include.value is None:
        return root
    sections = {key: node for key, node in root.mapping().items() if key != "include"}
    chain = (*above, path.resolve())
    try:
        included = names(include)
    except KindError as error:
        problems.error(error.node or include, error.message)
        included = ()
    for name in included:
        target = path.parent / name
        if target.resolve() in chain:
            problems.error(include, "a file includes itself, directly or through others")
        elif len(chain) > INCLUDE_DEPTH_MAX:
            problems.error(include, f"files may include each other {INCLUDE_DEPTH_MAX} deep, not more")
        elif not target.is_file():
            problems.error(include, f"there is no file {shown(name)!r}")
        else:
            sections = _merged(sections, read_files(target, problems, chain).mapping())
    return Node(sections, root.path, root.line, root.where)


def _merged(sections: dict[str, Node], included: dict[str, Node]) -> dict[str, Node]:
    merged = dict(sections)
    for key, node in included.items():
        before = merged.get(key)
        if before is None or before.value is None:
            merged[key] = node
        elif isinstance(before.value, list) and isinstance(node.value, list):
            merged[key] = Node([*before.value, *node.value], before.path, before.line, before.where)
        elif isinstance(before.value, dict) and isinstance(node.value, dict):
            merged[key] = Node({**before.value, **node.value}, before.path, before.line, before.where)
        elif node.value is not None:
            merged[key] = node
    return merged
