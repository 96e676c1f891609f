"""What `model_list` and `router_settings` say about errors and limits, read into values."""

from collections.abc import Mapping
from typing import Any

from meshgate_chassis.config.known_keys import ALLOWED_FAILS_POLICY, ERROR_CLASSES, RETRY_POLICY
from meshgate_chassis.config.model import DeploymentLimits, ErrorCounts
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import Table, read_table

LIMITS = ("rpm", "rpd", "tpm", "tpd", "itpm", "otpm", "max_parallel_requests")


def read_retry_policy(at: Node | None, problems: Problems) -> ErrorCounts:
    """`retry_policy`: retries by class of error."""
    return _counts(at, RETRY_POLICY, "ErrorRetries", problems)


def read_allowed_fails_policy(at: Node | None, problems: Problems) -> ErrorCounts:
    """`allowed_fails_policy`: failures in a minute by class of error."""
    return _counts(at, ALLOWED_FAILS_POLICY, "ErrorAllowedFails", problems)


def read_deployment_rules(
    node: Node, params: Mapping[str, Any], info: Mapping[str, Any], problems: Problems
) -> dict[str, Any]:
    """The members of a Deployment that say when it is called. `params`, `info`: the values of its
    litellm_params, which are at `node`, and of its model_info."""
    members = node.mapping()
    limits = {name: params.get(name) for name in LIMITS}
    return {
        "limits": DeploymentLimits(**limits, time_zone=params.get("quota_time_zone", "UTC")),
        "blocked": params.get("blocked", False),
        "order": params.get("order"),
        "tags": tuple(params.get("tags", ())),
        "max_input_tokens": info.get("max_input_tokens"),
        "num_retries": params.get("num_retries", params.get("max_retries")),
        "retry_policy": read_retry_policy(members.get("retry_policy"), problems),
        "allowed_fails": params.get("allowed_fails", info.get("allowed_fails")),
        "allowed_fails_policy": read_allowed_fails_policy(members.get("allowed_fails_policy"), problems),
        "cooldown_time_s": params.get("cooldown_time", info.get("cooldown_time")),
    }


def _counts(at: Node | None, table: Table, suffix: str, problems: Problems) -> ErrorCounts:
    """Of a mapping; what is none was reported with its key."""
    values = read_table(at, table, problems) if at is not None and isinstance(at.value, dict) else {}
    found = {name: values.get(f"{key}{suffix}") for key, name in ERROR_CLASSES.items()}
    return {name: count for name, count in found.items() if count is not None}
