"""Timeouts of stages, hedging and mid-stream recovery in config.yaml."""

from pathlib import Path

import pytest

from meshgate_chassis.config import load_config
from meshgate_chassis.config.model import GatewayConfig, HedgingConfig, StageTimeouts

MODEL = "model_list: [{model_name: a, litellm_params: {model: openai/a, api_base: http://x/v1%s}}]\n"


def loaded(folder: Path, settings: str = "", params: str = "") -> GatewayConfig:
    path = folder / "config.yaml"
    path.write_text(MODEL % params + (f"router_settings: {{{settings}}}\n" if settings else ""))
    return load_config(path, {})


def test_nothing_is_said(tmp_path: Path) -> None:
    """No limits of stages, no hedging; recovery is on."""
    config = loaded(tmp_path)

    assert StageTimeouts() == config.router.stages == config.deployments[0].stages
    assert HedgingConfig() == config.router.hedging
    assert not config.router.hedging.enabled
    assert config.router.mid_stream_recovery


def test_stages(tmp_path: Path) -> None:
    """Of a deployment and of all; seconds or durations; they are no parameters for the provider."""
    limits = "connect_timeout: 1, first_token_timeout: 2s, between_tokens_timeout: 3, total_timeout: 1m"
    config = loaded(tmp_path, limits, f", {limits}")

    assert StageTimeouts(1.0, 2.0, 3.0, 60.0) == config.router.stages == config.deployments[0].stages
    assert {} == config.deployments[0].request_defaults
    assert () == config.warnings


def test_hedging(tmp_path: Path) -> None:
    """Every member; what is not said is as usual; a slip of the pen is named."""
    config = loaded(tmp_path, "hedging: {enabled: true, quantile: 0.9, delay_min: 0.2, quantil: 1}")
    (warning,) = config.warnings

    assert HedgingConfig(enabled=True, quantile=0.9, delay_min_s=0.2) == config.router.hedging
    assert "router_settings.hedging.quantil" == warning.where
    assert "quantile" == warning.suggestion


@pytest.mark.parametrize("key", ["mid_stream_recovery", "enable_mid_stream_fallback_continuation"])
def test_recovery_can_be_switched_off(tmp_path: Path, key: str) -> None:
    """By our name or by LiteLLM's."""
    assert not loaded(tmp_path, f"{key}: false").router.mid_stream_recovery
    assert loaded(tmp_path, f"{key}: true").router.mid_stream_recovery
