"""`router_settings`, and the members of `litellm_settings` that mean the same."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from meshgate_chassis.config.group_kinds import Alias, Aliases, Chains
from meshgate_chassis.config.known_keys import LOAD_BALANCING_SETTINGS, ROUTER_SETTINGS
from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.config.names import is_pattern, matched_text
from meshgate_chassis.config.node import Node, shown
from meshgate_chassis.config.problems import Problems, nearest
from meshgate_chassis.config.schema import read_table

BY_GROUP = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "model_group_alias")


def read_router(
    sections: Mapping[str, Node], litellm: Mapping[str, Any], groups: Collection[str], problems: Problems
) -> RouterConfig:
    """`litellm`: the values of litellm_settings; router_settings wins. `groups`: the public names."""
    own = read_table(sections.get("router_settings"), ROUTER_SETTINGS, problems)
    values = {**{key: value for key, value in litellm.items() if key in ROUTER_SETTINGS}, **own}
    for key in BY_GROUP:
        values[key] = {**litellm.get(key, {}), **own.get(key, {})}
    aliases = KnownGroups(groups, problems).aliases(values["model_group_alias"])
    known = KnownGroups((*groups, *aliases), problems)
    defaults = RouterConfig()
    return RouterConfig(
        routing_strategy=_strategy(sections, values, problems) or defaults.routing_strategy,
        num_retries=values.get("num_retries", defaults.num_retries),
        retry_after_s=values.get("retry_after", defaults.retry_after_s),
        timeout_s=values.get("timeout", litellm.get("request_timeout", defaults.timeout_s)),
        stream_timeout_s=values.get("stream_timeout"),
        fallbacks=known.chains(values["fallbacks"]),
        default_fallbacks=known.names(values.get("default_fallbacks", ())),
        context_window_fallbacks=known.chains(values["context_window_fallbacks"]),
        content_policy_fallbacks=known.chains(values["content_policy_fallbacks"]),
        fallback_depth_max=values.get("max_fallbacks", defaults.fallback_depth_max),
        allowed_fails=values.get("allowed_fails"),
        cooldown_time_s=values.get("cooldown_time", defaults.cooldown_time_s),
        model_group_alias={alias: str(to.target.value) for alias, to in aliases.items()},
        hidden_aliases=frozenset(alias for alias, to in aliases.items() if to.hidden),
    )


def _strategy(sections: Mapping[str, Node], values: Mapping[str, Any], problems: Problems) -> str | None:
    """router_settings.routing_strategy, else the strategy of a reference deployment's own section."""
    balancing = read_table(sections.get("load_balancing_settings"), LOAD_BALANCING_SETTINGS, problems)
    enabled = balancing.get("enable", balancing.get("enabled", True))
    return values.get("routing_strategy") or (balancing.get("routing_algorithm") if enabled else None)


class KnownGroups:
    """Drops names that nobody serves, with a warning: a fallback that is missing must not stop the rest."""

    def __init__(self, names: Iterable[str], problems: Problems) -> None:
        self._names = frozenset(names)
        self._patterns = tuple(name for name in self._names if is_pattern(name))
        self._problems = problems

    def names(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """The names that somebody serves."""
        return tuple(str(node.value) for node in nodes if self._known(node, "it is skipped"))

    def chains(self, chains: Chains) -> dict[str, tuple[str, ...]]:
        """Targets by group, without the groups that have none left. `*` stands for any group."""
        found = {}
        for group, chain in chains.items():
            if not self._serves(group):
                self._warn(chain.node, group, "this fallback is never used")
            targets = self.names(chain.targets)
            if targets:
                found[group] = targets
        return found

    def aliases(self, aliases: Aliases) -> dict[str, Alias]:
        """The aliases that lead somewhere."""
        return {
            name: alias
            for name, alias in aliases.items()
            if self._known(alias.target, "the alias has no effect")
        }

    def _known(self, node: Node, consequence: str) -> bool:
        known = self._serves(str(node.value))
        if not known:
            self._warn(node, str(node.value), consequence)
        return known

    def _serves(self, name: str) -> bool:
        matches = (matched_text(pattern, name) is not None for pattern in self._patterns)
        return name == "*" or name in self._names or any(matches)

    def _warn(self, node: Node, name: str, consequence: str) -> None:
        said = f"no entry of model_list serves {shown(name)!r}: {consequence}"
        self._problems.warn(node, said, nearest(name, self._names))
