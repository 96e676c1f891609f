"""Which deployments a public model name means: pure, and the same for every service.

A name is an alias first (`model_group_alias`, followed once), then an exact name, then what the longest
matching pattern means. The first `*` of a pattern stands for any text, and that text replaces `*` in the
deployment's own model name. Source: LiteLLM's model_list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from meshgate_chassis.config.model import Deployment

WILDCARD = "*"
Configured = TypeVar("Configured")


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """Deployments that answer to one public name; `name` is as a client would say it."""

    name: str
    deployments: Sequence[Deployment]


class PublicNames:
    """The names of one configuration. `groups`: deployments by model_name, patterns among them."""

    def __init__(self, groups: Mapping[str, Sequence[Deployment]], aliases: Mapping[str, str]) -> None:
        self._aliases = dict(aliases)
        self._exact = {
            name: ModelGroup(name, tuple(members)) for name, members in groups.items() if not is_pattern(name)
        }
        patterns = [(name, tuple(members)) for name, members in groups.items() if is_pattern(name)]
        self._patterns = sorted(patterns, key=lambda pattern: -len(pattern[0]))

    @property
    def exact(self) -> Sequence[ModelGroup]:
        """The groups that have a name of their own, in the order of the configuration."""
        return tuple(self._exact.values())

    @property
    def patterns(self) -> Sequence[ModelGroup]:
        """The groups whose names stand for many, the longest first."""
        return tuple(ModelGroup(name, members) for name, members in self._patterns)

    def find(self, name: str) -> ModelGroup | None:
        """Who answers to a name, and what the model is called there; None when nobody does."""
        name = self._aliases.get(name, name)
        group = self._exact.get(name)
        if group is not None:
            return group
        for pattern, members in self._patterns:
            text = matched_text(pattern, name)
            if text is not None:
                return ModelGroup(name, tuple(_meant(member, name, text) for member in members))
        return None

    def knows(self, name: str) -> bool:
        """Whether anybody answers to a name."""
        name = self._aliases.get(name, name)
        return name in self._exact or any(matched_text(each, name) is not None for each, _ in self._patterns)


def grouped(deployments: Sequence[Deployment]) -> dict[str, list[Deployment]]:
    """The deployments by model_name, in the order of the configuration."""
    groups: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        groups.setdefault(deployment.model_group, []).append(deployment)
    return groups


def configured_for(configured: Mapping[str, Configured], names: Sequence[str]) -> Configured | None:
    """What is configured for a model by name, as fallbacks are. `names`: what it is called by; each before
    the longest pattern that fits one of them."""
    for name in names:
        if name in configured:
            return configured[name]
    fitting = [
        pattern
        for pattern in configured
        if is_pattern(pattern) and any(matched_text(pattern, name) is not None for name in names)
    ]
    return configured[max(fitting, key=len)] if fitting else None


def is_pattern(name: str) -> bool:
    """Whether a model_name stands for many names."""
    return WILDCARD in name


def matched_text(pattern: str, name: str) -> str | None:
    """What the first `*` of the pattern stands for in the name; None when they do not match."""
    head, star, tail = pattern.partition(WILDCARD)
    if not star:
        return "" if pattern == name else None
    fits = len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
    return name[len(head) : len(name) - len(tail)] if fits else None


def _meant(deployment: Deployment, name: str, text: str) -> Deployment:
    upstream_model = deployment.upstream_model.replace(WILDCARD, text)
    return replace(deployment, model_group=name, upstream_model=upstream_model)
