"""Timeouts of a call's stages, hedging and mid-stream recovery: all of it ours."""

from collections.abc import Mapping
from typing import Any

from meshgate_chassis.config.known_keys import HEDGING
from meshgate_chassis.config.model import HedgingConfig, StageTimeouts
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import read_table


def stage_timeouts(values: Mapping[str, Any]) -> StageTimeouts:
    """Of litellm_params, or of router_settings."""
    return StageTimeouts(
        connect_s=values.get("connect_timeout"),
        first_token_s=values.get("first_token_timeout"),
        between_tokens_s=values.get("between_tokens_timeout"),
        total_s=values.get("total_timeout"),
    )


def read_hedging(node: Node | None, problems: Problems) -> HedgingConfig:
    """`router_settings.hedging`; it is on when its `enabled` says so."""
    values = read_table(node, HEDGING, problems)
    defaults = HedgingConfig()
    return HedgingConfig(
        enabled=values.get("enabled", defaults.enabled),
        quantile=values.get("quantile", defaults.quantile),
        delay_min_s=values.get("delay_min", defaults.delay_min_s),
        extra_calls_max=values.get("extra_calls_max", defaults.extra_calls_max),
        same_deployment=values.get("same_deployment", defaults.same_deployment),
        whole_answers=values.get("whole_answers", defaults.whole_answers),
    )
