"""The model groups that this router can serve, their fallbacks, and the list of models.

Frozen after the start. What a name means is decided by `meshgate_chassis.config.names`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.config.names import ModelGroup, PublicNames, configured_for, grouped
from meshgate_router.providers.base import ErrorKind


@dataclass(frozen=True, slots=True)
class PublicModel:
    """An entry of the list of models."""

    id: str
    providers: Sequence[str]
    mode: str
    access_groups: Sequence[str] = ()


class Catalog:
    """A deployment of an unknown provider is left out of a group that has others; see `unusable`."""

    def __init__(
        self, deployments: Sequence[Deployment], router: RouterConfig, providers: Collection[str]
    ) -> None:
        self.unusable = [deployment for deployment in deployments if deployment.provider not in providers]
        usable = {name: _usable(members, providers) for name, members in grouped(deployments).items()}
        self._names = PublicNames(usable, router.model_group_alias)
        self._router = router

    def find(self, name: str) -> ModelGroup | None:
        """The group that answers to a name."""
        return self._names.find(name)

    def fallbacks(self, names: Sequence[str], kind: ErrorKind) -> Sequence[str]:
        """The names to try in order when a group failed in this way. `names`: what it was called by: an alias
        before its own name; each name before the longest pattern that fits, and that before `*`."""
        special: Mapping[str, Sequence[str]] = {}
        if kind is ErrorKind.CONTEXT_WINDOW_EXCEEDED:
            special = self._router.context_window_fallbacks
        elif kind is ErrorKind.CONTENT_FILTERED:
            special = self._router.content_policy_fallbacks
        for configured in (special, self._router.fallbacks):
            found = configured_for(configured, names)
            if found is not None:
                return found
        return self._router.default_fallbacks

    def public_models(self, *, patterns: bool = False) -> Sequence[PublicModel]:
        """Aliases that are not hidden first, then the groups in the configuration's order, then, if they are
        wanted, the patterns. A group whose name is an alias of another cannot be asked for."""
        aliases = self._router.model_group_alias
        shown = [alias for alias in aliases if alias not in self._router.hidden_aliases]
        aliased = [_public(alias, group) for alias in shown if (group := self.find(alias))]
        own = [_public(group.name, group) for group in self._names.exact if group.name not in aliases]
        wide = [_public(group.name, group) for group in self._names.patterns] if patterns else []
        return [*aliased, *own, *wide]


def _usable(members: Sequence[Deployment], providers: Collection[str]) -> Sequence[Deployment]:
    known = tuple(deployment for deployment in members if deployment.provider in providers)
    return known or tuple(members)


def _public(name: str, group: ModelGroup) -> PublicModel:
    providers = tuple(dict.fromkeys(deployment.provider for deployment in group.deployments))
    groups = (each.model_info.get("access_groups") for each in group.deployments)
    access = tuple(dict.fromkeys(name for each in groups if isinstance(each, list) for name in each))
    return PublicModel(name, providers, group.deployments[0].mode, access)
