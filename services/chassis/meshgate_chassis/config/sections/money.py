"""Limits that config.yaml sets: of the whole gateway, and of users and end users that have none of their own.

`budgets` and `rate_limit` (sections of a reference deployment) are the gateway's. So is LiteLLM's
`litellm_settings.max_budget`, unless `rpm` or `tpm` stand beside it, which LiteLLM does not know there: then
all of them are each user's, as the reference deployment that writes them so means it.
"""

from collections.abc import Mapping
from typing import Any

from meshgate_chassis.config.known_keys import BUDGETS, RATE_LIMIT, TAG_BUDGET
from meshgate_chassis.config.model import ConfiguredLimit, ConfiguredLimits
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import read_table

NANOS_PER_USD = 1_000_000_000
MINUTE = "60s"
# As LiteLLM's periods are written; the longest that divides a duration is its unit.
UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def read_limits(
    sections: Mapping[str, Node],
    litellm: Mapping[str, Any],
    general: Mapping[str, Any],
    problems: Problems,
) -> ConfiguredLimits:
    """`litellm`, `general`: the sections of that name, read."""
    budgets = read_table(sections.get("budgets"), BUDGETS, problems)
    rates = read_table(sections.get("rate_limit"), RATE_LIMIT, problems)
    users = {**_rates(litellm), **_parallel(litellm.get("max_parallel_requests"))}
    general_parallel = general.get("global_max_parallel_requests")
    gateway = {
        **_budget(budgets, budgets.get("soft_budget_limit", budgets.get("soft_budget"))),
        **_rates(rates),
        **_parallel(rates.get("max_parallel_requests"), general_parallel),
        **_parallel(litellm.get("global_max_parallel_requests")),
    }
    own = _budget(litellm)
    if "rpm" in litellm or "tpm" in litellm:
        users |= own
    else:
        gateway |= own
    users |= _budget({"max_budget": litellm.get("max_user_budget")})
    customers = {**users, **_budget({"max_budget": litellm.get("max_end_user_budget")})}
    return ConfiguredLimits(
        gateway=tuple(gateway.values()),
        user=tuple(users.values()),
        customer=tuple(customers.values()),
        customer_budget_id=litellm.get("max_end_user_budget_id", ""),
        tags=_tags(litellm.get("tag_budget_config", {}), problems),
        time_zone=litellm.get("timezone", "UTC"),
    )


def _tags(written: Mapping[str, Node], problems: Problems) -> dict[str, tuple[ConfiguredLimit, ...]]:
    found = {}
    for name, node in written.items():
        limits = read_table(node, TAG_BUDGET, problems)
        rates = {**_rates(limits), **_parallel(limits.get("max_parallel_requests"))}
        found[name] = tuple({**_budget(limits, limits.get("soft_budget")), **rates}.values())
    return {name: limits for name, limits in found.items() if limits}


def period_of(duration_s: float | None) -> str:
    """The duration as a period; None is for ever."""
    if duration_s is None:
        return ""
    whole_s = max(round(duration_s), 1)
    for unit, length_s in UNITS:
        if whole_s % length_s == 0:
            return f"{whole_s // length_s}{unit}"
    return f"{whole_s}s"


_Limits = dict[tuple[str, str], ConfiguredLimit]


def _budget(section: Mapping[str, Any], soft_usd: float | None = None) -> _Limits:
    maximum_usd = section.get("max_budget")
    if maximum_usd is None and soft_usd is None:
        return {}
    period = period_of(section.get("budget_duration"))
    limit = ConfiguredLimit("spend", period, _nanos(maximum_usd), _nanos(soft_usd))
    return {("spend", period): limit}


def _rates(section: Mapping[str, Any]) -> _Limits:
    found: _Limits = {}
    for name, metric in (("rpm", "requests"), ("tpm", "tokens")):
        if section.get(name) is not None:
            found[metric, MINUTE] = ConfiguredLimit(metric, MINUTE, section[name])
    return found


def _parallel(*counts: int | None) -> _Limits:
    given = [count for count in counts if count is not None]
    return {("parallel", ""): ConfiguredLimit("parallel", "", min(given))} if given else {}


def _nanos(usd: float | None) -> int | None:
    return None if usd is None else round(usd * NANOS_PER_USD)
