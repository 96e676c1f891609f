"""The small parts: compression, ledger, logs; and sections that are checked but not acted on yet."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshgate_chassis.config.kinds import LOG_LEVELS, boolean, names
from meshgate_chassis.config.known_keys import (
    COMPRESSION_SETTINGS,
    HEALTH_CHECK,
    LOGS,
    MODEL_COMPRESSION,
    PROMETHEUS,
)
from meshgate_chassis.config.model import (
    CompressionConfig,
    ConfiguredLimits,
    LedgerConfig,
    ModelCompression,
)
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import read_table
from meshgate_chassis.config.sections.blocked import blocked_hashes

CHECKED_ONLY = {
    "health_check": HEALTH_CHECK,
    "prometheus": PROMETHEUS,
}


def read_compression(section: Node | None, problems: Problems) -> CompressionConfig:
    """`compression_settings` (ours): its keys are the members of CompressionConfig."""
    members = read_table(section, COMPRESSION_SETTINGS, problems)
    models: Node | None = members.pop("models", None)
    return CompressionConfig(**members, models=_compression_models(models, problems))


def _compression_models(models: Node | None, problems: Problems) -> dict[str, ModelCompression]:
    """Names alone switch compression on for these models; a mapping may say how."""
    if models is None:
        return {}
    if not isinstance(models.value, dict):
        return {name: ModelCompression() for name in names(models)}
    return {
        name: ModelCompression(**read_table(member, MODEL_COMPRESSION, problems))
        for name, member in models.value.items()
    }


def read_ledger(general: Mapping[str, Any], blocked: Sequence[str], limits: ConfiguredLimits) -> LedgerConfig:
    """The money part of general_settings. `blocked`: user ids, keys, or hashes of keys."""
    defaults = LedgerConfig()
    return LedgerConfig(
        default_output_tokens=general.get("default_output_tokens", defaults.default_output_tokens),
        hold_duration_s=round(general.get("hold_duration", defaults.hold_duration_s)),
        require_pricing=general["require_pricing"],
        allow_without_ledger=general.get("allow_requests_on_db_unavailable", defaults.allow_without_ledger),
        entries_kept_s=general.get("maximum_spend_logs_retention_period", defaults.entries_kept_s),
        blocked=blocked_hashes(blocked),
        limits=limits,
    )


def read_log_level(logs: Mapping[str, Any], verbose: bool, environ: Mapping[str, str]) -> str:
    """logs.level, else DEBUG when set_verbose is on, else LITELLM_LOG or LITELLM_LOG_LEVEL, else INFO."""
    candidates = (logs.get("level"), "DEBUG" if verbose else None)
    named = (environ.get("LITELLM_LOG"), environ.get("LITELLM_LOG_LEVEL"))
    levels = [level.upper() for level in (*candidates, *named) if level]
    return next((level for level in levels if level in LOG_LEVELS), "INFO")


def read_json_logs(values: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """json_logs of any section that has it, else JSON_LOGS."""
    return bool(values.get("json_logs", boolean(environ.get("JSON_LOGS", ""))))


def read_logs(section: Node | None, problems: Problems) -> dict[str, Any]:
    """`logs`, a section of a reference deployment."""
    return read_table(section, LOGS, problems)


def check_others(sections: Mapping[str, Node], problems: Problems) -> None:
    """Sections nobody acts on yet: wrong values are errors all the same."""
    for name, table in CHECKED_ONLY.items():
        read_table(sections.get(name), table, problems)
