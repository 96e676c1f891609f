"""What a deployment costs, as its entry says it. Source of the names: LiteLLM's `litellm_params`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from meshgate_chassis.config.model import DeploymentPrice

TOKENS_PER_MTOK: Final = 1_000_000
# Key -> the price's member. Values are nano-USD per million tokens.
RATES: Final[Mapping[str, str]] = {
    "input_cost_per_token": "input_nanos_per_mtok",
    "output_cost_per_token": "output_nanos_per_mtok",
    "cache_read_input_token_cost": "cache_read_nanos_per_mtok",
    "cache_creation_input_token_cost": "cache_creation_nanos_per_mtok",
    "output_cost_per_reasoning_token": "reasoning_nanos_per_mtok",
    "input_cost_per_audio_token": "audio_input_nanos_per_mtok",
    "output_cost_per_audio_token": "audio_output_nanos_per_mtok",
}
PER_REQUEST: Final = ("input_cost_per_request", "input_cost_per_query")
PLAIN: Final = ("input_cost_per_token", "output_cost_per_token")
ABOVE: Final = re.compile(r"(\w+?)_above_(\d{1,6})k_tokens")


def price_of(values: Mapping[str, Any]) -> DeploymentPrice | None:
    """The price, when the entry has one for input, output or the request; of input and output the one that is
    missing is 0. A tier has what is not said of it from the price without it."""
    base: dict[str, Any] = {member: values[key] for key, member in RATES.items() if key in values}
    requests = [values[key] for key in PER_REQUEST if key in values]
    if not requests and not any(key in values for key in PLAIN):
        return None
    price = replace(DeploymentPrice(0, 0, request_nanos=_per_request(requests)), **base)
    tiers = _tiers(values)
    return replace(price, tiers=tuple((above, replace(price, **tiers[above])) for above in sorted(tiers)))


def _tiers(values: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Members that differ, by the prompt's tokens above which they do."""
    tiers: dict[int, dict[str, Any]] = {}
    for key, value in values.items():
        match = ABOVE.fullmatch(key)
        if match and match[1] in RATES:
            tiers.setdefault(int(match[2]) * 1_000, {})[RATES[match[1]]] = value
    return tiers


def _per_request(nanos_per_mtok: list[int]) -> int:
    """The values are read as all prices are: for a million."""
    return round(nanos_per_mtok[0] / TOKENS_PER_MTOK) if nanos_per_mtok else 0
