"""Which deployments stand behind a public model name.

Exact names win over patterns, and the longest pattern wins; `*` stands for any text, which also replaces
the `*` in the deployment's own model name. Source: LiteLLM's model_list and model_group_alias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshgate_chassis.config.model import Deployment


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that may serve a name, and what the name is called there."""

    deployment: Deployment
    upstream_model: str


class Catalogue:
    """The public names of one configuration."""

    def __init__(self, deployments: Sequence[Deployment], group_aliases: Mapping[str, str]) -> None:
        self._group_aliases = dict(group_aliases)
        self._groups: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            self._groups.setdefault(deployment.model_group, []).append(deployment)
        self._patterns = sorted((name for name in self._groups if "*" in name), key=len, reverse=True)

    def candidates(self, model: str) -> tuple[Candidate, ...]:
        """Who may serve the name; empty when nobody knows it."""
        group = self._group_aliases.get(model, model)
        if group in self._groups:
            return tuple(Candidate(each, each.upstream_model) for each in self._groups[group])
        for pattern in self._patterns:
            tail = matched_text(pattern, group)
            if tail is not None:
                return tuple(
                    Candidate(each, each.upstream_model.replace("*", tail)) for each in self._groups[pattern]
                )
        return ()

    def knows(self, model: str) -> bool:
        """Whether anybody serves the name."""
        return bool(self.candidates(model))

    def access_groups(self, model: str) -> frozenset[str]:
        """Names besides its own under which a key may be allowed the model (model_info.access_groups)."""
        names: set[str] = set()
        for candidate in self.candidates(model):
            groups = candidate.deployment.model_info.get("access_groups")
            if isinstance(groups, Sequence) and not isinstance(groups, str):
                names.update(str(group) for group in groups)
        return frozenset(names)


def matched_text(pattern: str, name: str) -> str | None:
    """What the first `*` of the pattern stands for in the name; None when they do not match."""
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if pattern == name else None
    fits = len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
    return name[len(head) : len(name) - len(tail)] if fits else None
