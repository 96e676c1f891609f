"""What new keys, users and teams get: `default_key_generate_params` and `upperbound_key_generate_params` of
either settings, `default_budget` and its like of two reference deployments, `default_soft_budget` and
`max_parallel_requests` of a key, the budget of internal users, `default_internal_user_params` and
`default_team_params`."""

from collections.abc import Mapping
from typing import Any

from meshgate_chassis.config.model import EntityDefaults
from meshgate_chassis.config.node import Node

KEY_DURATIONS = ("litellm_key_budget_duration", "default_budget_duration")  # the later one wins
USER_BUDGETS = ("default_max_internal_user_budget", "max_internal_user_budget")


def read_entity_defaults(
    sections: Mapping[str, Node], general: Mapping[str, Any], litellm: Mapping[str, Any]
) -> EntityDefaults:
    """`general`, `litellm`: the valid values of the two settings. Periods stay as they were written, because
    "1d" ends at midnight and "86400s" does not; what they say is checked where keys are made."""
    key: dict[str, object] = {}
    if "default_budget" in general:
        key["max_budget"] = general["default_budget"]
    for name in KEY_DURATIONS:
        if name in general:
            key["budget_duration"] = _written(sections, "general_settings", name)
    if "default_soft_budget" in litellm:
        key["soft_budget"] = litellm["default_soft_budget"]
    if "max_parallel_requests" in general:
        key["max_parallel_requests"] = general["max_parallel_requests"]
    user: dict[str, object] = {}
    for name in USER_BUDGETS:
        if name in litellm:
            user["max_budget"] = litellm[name]
    if user and "internal_user_budget_duration" in litellm:
        user["budget_duration"] = _written(sections, "litellm_settings", "internal_user_budget_duration")
    both = {**general, **litellm}
    return EntityDefaults(
        key={**key, **both.get("default_key_generate_params", {})},
        key_upper_bounds=both.get("upperbound_key_generate_params", {}),
        key_generation=both.get("key_generation_settings", {}),
        user={**user, **litellm.get("default_internal_user_params", {})},
        team=litellm.get("default_team_params", {}),
    )


def _written(sections: Mapping[str, Node], section: str, name: str) -> str:
    return str(sections[section].mapping()[name].value).strip()
