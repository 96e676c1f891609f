"""Who may reach the gateway, and what every request has to say: parts of general_settings and
litellm_settings."""

from collections.abc import Mapping
from typing import Any

from meshgate_chassis.config.model import AccessConfig


def read_access(general: Mapping[str, Any], litellm: Mapping[str, Any]) -> AccessConfig:
    """`general`, `litellm`: the valid values of the two settings."""
    required = (*general.get("enforced_params", ()), *litellm.get("enforced_params", ()))
    return AccessConfig(
        key_header=general.get("litellm_key_header_name", "").strip().lower(),
        user_required=general.get("enforce_user_param", False),
        required_params=tuple(dict.fromkeys(required)),
        allowed_ips=general.get("allowed_ips", ()),
        behind_proxy=general.get("use_x_forwarded_for", False),
        metrics_need_key=litellm.get("require_auth_for_metrics_endpoint", False),
    )
