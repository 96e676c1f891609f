"""`model_groups`, a section of a reference deployment: one public name over several others, by weight.

Each member's deployments are listed again under the group's name. A copy has its own id, its member's share
of the weight, and the health and limits of what it is a copy of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from meshgate_chassis.config.known_keys import MODEL_GROUP, MODEL_GROUP_MEMBER
from meshgate_chassis.config.model import Deployment
from meshgate_chassis.config.node import Node, shown
from meshgate_chassis.config.problems import Problems, nearest
from meshgate_chassis.config.schema import read_table

WEIGHT = 1.0  # of a member that names none


def read_model_groups(
    section: Node | None, deployments: Sequence[Deployment], problems: Problems
) -> tuple[Deployment, ...]:
    """The copies to add to the deployments."""
    by_group: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        by_group.setdefault(deployment.model_group, []).append(deployment)
    if section is None or section.value is None:
        return ()
    if not isinstance(section.value, list):
        problems.error(section, "must be a list of groups")
        return ()
    copies: list[Deployment] = []
    seen: set[str] = set()
    for group in section.items():
        values = read_table(group, MODEL_GROUP, problems)
        name = values.get("group_name")
        if name is None or "models" not in values:
            problems.error(group, "needs group_name and models")
        elif name in by_group or name in seen:
            problems.error(group, "a model of this name exists already")
        else:
            seen.add(name)
            copies.extend(_members(name, values["models"], by_group, problems))
    return tuple(copies)


def _members(
    group: str, members: Sequence[Node], by_group: Mapping[str, Sequence[Deployment]], problems: Problems
) -> list[Deployment]:
    copies: list[Deployment] = []
    for member in members:
        values = read_table(member, MODEL_GROUP_MEMBER, problems)
        name = values.get("model_name", "")
        if name not in by_group:
            said = f"no entry of model_list serves {shown(name)!r}" if name else "has no model_name"
            problems.warn(member, f"{said}: it is skipped", nearest(name, by_group))
            continue
        weight = values.get("weight", WEIGHT) / len(by_group[name])
        copies.extend(
            replace(
                deployment,
                id=f"{deployment.id}@{group}",
                same_as=deployment.account,
                model_group=group,
                weight=weight,
            )
            for deployment in by_group[name]
        )
    return copies
