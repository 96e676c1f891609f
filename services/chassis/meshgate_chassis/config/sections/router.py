"""`router_settings`, and the members of `litellm_settings` that mean the same."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshgate_chassis.config.group_kinds import Alias, Aliases, Chains
from meshgate_chassis.config.known_keys import (
    LOAD_BALANCING_SETTINGS,
    ROUTER_SETTINGS,
    ROUTING_STRATEGIES,
    ROUTING_STRATEGY_ARGS,
)
from meshgate_chassis.config.model import RouterConfig, Secret
from meshgate_chassis.config.names import is_pattern, matched_text
from meshgate_chassis.config.node import Node, shown
from meshgate_chassis.config.not_yet import SAID
from meshgate_chassis.config.problems import Problems, nearest
from meshgate_chassis.config.schema import read_table
from meshgate_chassis.config.sections.policies import read_allowed_fails_policy, read_retry_policy
from meshgate_chassis.config.sections.resilience import read_hedging, stage_timeouts
from meshgate_chassis.config.store_urls import ENVIRONMENT, redis_url

LATENCY_MEMBERS = {
    "ttl": "latency_memory_s",
    "lowest_latency_buffer": "latency_buffer",
    "max_latency_list_size": "latency_samples_max",
}
BY_GROUP = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "model_group_alias")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What settings of router and cache depend on. `litellm`: the values of litellm_settings. `groups`: the
    public names. `redis_url`, `redis_nodes`: the cache's."""

    litellm: Mapping[str, Any]
    groups: Collection[str]
    environ: Mapping[str, str]
    redis_url: Secret | None = None
    redis_nodes: Sequence[tuple[str, int]] = ()


def read_router(sections: Mapping[str, Node], around: Surroundings, problems: Problems) -> RouterConfig:
    """`router_settings`, which wins over the same members of litellm_settings."""
    litellm, groups, node = around.litellm, around.groups, sections.get("router_settings")
    members = {} if node is None else node.mapping()
    own = read_table(node, ROUTER_SETTINGS, problems)
    values = {**{key: value for key, value in litellm.items() if key in ROUTER_SETTINGS}, **own}
    for key in BY_GROUP:
        values[key] = {**litellm.get(key, {}), **own.get(key, {})}
    aliases = KnownGroups(groups, problems).aliases(values["model_group_alias"])
    known = KnownGroups((*groups, *aliases), problems)
    defaults = RouterConfig()
    return RouterConfig(
        routing_strategy=_strategy(sections, values, problems) or defaults.routing_strategy,
        group_strategies=_group_strategies(sections.get("model_groups")),
        **_latency(members.get("routing_strategy_args"), problems),
        retry_policy=read_retry_policy(members.get("retry_policy"), problems),
        group_retry_policies={
            group: read_retry_policy(policy, problems)
            for group, policy in values.get("model_group_retry_policy", {}).items()
        },
        allowed_fails_policy=read_allowed_fails_policy(members.get("allowed_fails_policy"), problems),
        cooldowns=not values.get("disable_cooldowns", False),
        pre_call_checks=values.get("enable_pre_call_checks", False),
        tag_filtering=values.get("enable_tag_filtering", False),
        tags_match_any=values.get("tag_filtering_match_any", defaults.tags_match_any),
        **_redis(members, values, around, problems),
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
        stages=stage_timeouts(own),
        hedging=read_hedging(_member(sections.get("router_settings"), "hedging"), problems),
        mid_stream_recovery=values.get(
            "mid_stream_recovery",
            values.get("enable_mid_stream_fallback_continuation", defaults.mid_stream_recovery),
        ),
    )


def _member(section: Node | None, key: str) -> Node | None:
    value = None if section is None else section.value
    return value.get(key) if isinstance(value, dict) else None


def _strategy(sections: Mapping[str, Node], values: Mapping[str, Any], problems: Problems) -> str | None:
    """router_settings.routing_strategy, else the strategy of a reference deployment's own section."""
    balancing = read_table(sections.get("load_balancing_settings"), LOAD_BALANCING_SETTINGS, problems)
    enabled = balancing.get("enable", balancing.get("enabled", True))
    return values.get("routing_strategy") or (balancing.get("routing_algorithm") if enabled else None)


def _group_strategies(section: Node | None) -> dict[str, str]:
    """`model_groups[].routing_strategy`; what is wrong there is reported with the section."""
    found = {}
    for group in [] if section is None else section.items():
        name, strategy = group.mapping().get("group_name"), group.mapping().get("routing_strategy")
        if name is not None and strategy is not None and strategy.value in ROUTING_STRATEGIES:
            found[str(name.value)] = str(strategy.value)
    return found


def _latency(args: Node | None, problems: Problems) -> dict[str, Any]:
    """`routing_strategy_args`, as members of RouterConfig."""
    if args is None or not isinstance(args.value, dict):
        return {}
    values = read_table(args, ROUTING_STRATEGY_ARGS, problems)
    return {member: values[key] for key, member in LATENCY_MEMBERS.items() if key in values}


def _redis(
    members: Mapping[str, Node], values: Mapping[str, Any], around: Surroundings, problems: Problems
) -> dict[str, Any]:
    """router_settings.redis_*, else the cache's Redis, or Redis Cluster."""
    params = {key.removeprefix("redis_"): value for key, value in values.items() if key.startswith("redis_")}
    if "url" not in params and "host" not in params:
        if params:
            at = next(node for key, node in members.items() if key.startswith("redis_"))
            problems.warn(at, f"{SAID}: neither redis_url nor redis_host names a server")
        return {"redis_url": around.redis_url, "redis_nodes": around.redis_nodes}
    try:
        return {"redis_url": redis_url(params, around.environ)}
    except ValueError as error:
        problems.error(Node(None, ENVIRONMENT, 0, "REDIS_PORT"), str(error))
        return {}


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
