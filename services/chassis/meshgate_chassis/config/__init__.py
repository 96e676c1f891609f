"""LiteLLM's config.yaml, read into frozen values."""

from meshgate_chassis.config.load import check_config, load_config
from meshgate_chassis.config.problems import ConfigError

__all__ = ["ConfigError", "check_config", "load_config"]
