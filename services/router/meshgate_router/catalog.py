"""The model groups of the configuration: frozen after the start, looked up by public name.

A name is resolved as alias, then exactly, then by the longest matching pattern (`openai/*`, `*`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.providers.base import ErrorKind

WILDCARD = "*"


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """Deployments that answer to one public name; `name` is as a client would say it."""

    name: str
    deployments: Sequence[Deployment]


@dataclass(frozen=True, slots=True)
class PublicModel:
    """An entry of the list of models."""

    id: str
    providers: Sequence[str]
    mode: str


class Catalog:
    """A deployment of an unknown provider is left out of a group that has others; see `unusable`."""

    def __init__(
        self, deployments: Sequence[Deployment], router: RouterConfig, providers: Collection[str]
    ) -> None:
        self.unusable = [deployment for deployment in deployments if deployment.provider not in providers]
        groups: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            groups.setdefault(deployment.model_group, []).append(deployment)
        usable = {name: _usable(members, providers) for name, members in groups.items()}
        self._groups: Mapping[str, ModelGroup] = {
            name: ModelGroup(name, members) for name, members in usable.items() if WILDCARD not in name
        }
        patterns = [(name, members) for name, members in usable.items() if WILDCARD in name]
        self._patterns = sorted(patterns, key=lambda pattern: -len(pattern[0]))
        self._router = router

    def find(self, name: str) -> ModelGroup | None:
        """The group that answers to a name."""
        name = self._router.model_group_alias.get(name, name)
        group = self._groups.get(name)
        if group is not None:
            return group
        for pattern, members in self._patterns:
            tail = _tail(pattern, name)
            if tail is not None:
                return ModelGroup(name, tuple(_resolved(member, name, tail) for member in members))
        return None

    def fallbacks(self, group: str, kind: ErrorKind) -> Sequence[str]:
        """The names to try in order when a group failed in this way."""
        special: Mapping[str, Sequence[str]] = {}
        if kind is ErrorKind.CONTEXT_WINDOW_EXCEEDED:
            special = self._router.context_window_fallbacks
        elif kind is ErrorKind.CONTENT_FILTERED:
            special = self._router.content_policy_fallbacks
        for configured in (special, self._router.fallbacks):
            for name in (group, WILDCARD):
                if name in configured:
                    return configured[name]
        return self._router.default_fallbacks

    def public_models(self) -> Sequence[PublicModel]:
        """Aliases first, then the groups in the configuration's order. Patterns are no models."""
        aliased = [
            _public(alias, found) for alias in self._router.model_group_alias if (found := self.find(alias))
        ]
        return [*aliased, *(_public(name, group) for name, group in self._groups.items())]


def _usable(members: Sequence[Deployment], providers: Collection[str]) -> Sequence[Deployment]:
    known = tuple(deployment for deployment in members if deployment.provider in providers)
    return known or tuple(members)


def _tail(pattern: str, name: str) -> str | None:
    """What stands for the first `*`, or None."""
    head, _, end = pattern.partition(WILDCARD)
    if len(name) < len(head) + len(end) or not (name.startswith(head) and name.endswith(end)):
        return None
    return name[len(head) : len(name) - len(end)]


def _resolved(deployment: Deployment, name: str, tail: str) -> Deployment:
    upstream_model = deployment.upstream_model.replace(WILDCARD, tail)
    return replace(deployment, model_group=name, upstream_model=upstream_model)


def _public(name: str, group: ModelGroup) -> PublicModel:
    providers = tuple(dict.fromkeys(deployment.provider for deployment in group.deployments))
    return PublicModel(name, providers, group.deployments[0].mode)
