"""Reads LiteLLM's config.yaml into a GatewayConfig: files, then the environment, then section by section.

Everything that is wrong is found in one pass. The environment comes as an argument and is never changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshgate_chassis.config.files import read_files
from meshgate_chassis.config.known_keys import GENERAL_SETTINGS, LITELLM_SETTINGS, SECTIONS
from meshgate_chassis.config.model import ConfigProblem, Deployment, GatewayConfig, Secret
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import read_table
from meshgate_chassis.config.sections.access import read_access
from meshgate_chassis.config.sections.cache import read_cache
from meshgate_chassis.config.sections.deployments import DeploymentReader, router_defaults
from meshgate_chassis.config.sections.entity_defaults import read_entity_defaults
from meshgate_chassis.config.sections.model_groups import read_model_groups
from meshgate_chassis.config.sections.money import read_limits
from meshgate_chassis.config.sections.not_enforced import warn_not_enforced
from meshgate_chassis.config.sections.others import (
    check_others,
    read_compression,
    read_json_logs,
    read_ledger,
    read_log_level,
    read_logs,
)
from meshgate_chassis.config.sections.router import Surroundings, read_router
from meshgate_chassis.config.store_urls import database_url
from meshgate_chassis.config.substitute import substitute

BYTES_PER_MB = 1024 * 1024


def load_config(path: Path | None, environ: Mapping[str, str]) -> GatewayConfig:
    """The configuration; without a file, what the environment says. Raises ConfigError with every problem."""
    config, problems = _read(path, environ)
    problems.raise_errors()
    return config


def check_config(path: Path | None, environ: Mapping[str, str]) -> Sequence[ConfigProblem]:
    """Every error and warning, in the order they were found; see `ConfigProblem.severity`."""
    return _read(path, environ)[1].all


def _read(path: Path | None, environ: Mapping[str, str]) -> tuple[GatewayConfig, Problems]:
    problems = Problems()
    root = read_files(path, problems) if path is not None else Node({}, "(environment)", 0, "")
    members = dict(root.mapping())
    environ = _with_variables(members.pop("environment_variables", None), environ, problems)
    resolved = substitute(Node(members, root.path, root.line, root.where), environ, problems)
    top = read_table(resolved, SECTIONS, problems, "unknown section: it has no effect")
    sections = {key: node for key, node in resolved.mapping().items() if node.value is not None}
    return _build(sections, top.get("blocked_users", ()), environ, problems), problems


def _with_variables(
    section: Node | None, environ: Mapping[str, str], problems: Problems
) -> Mapping[str, str]:
    """The environment with `environment_variables`, which win over it and may use those above them."""
    if section is None or section.value is None:
        return environ
    if not isinstance(section.value, dict):
        problems.error(section, "must be a mapping")
        return environ
    added = dict(environ)
    for name, written in section.value.items():
        node = substitute(written, added, problems)
        if isinstance(node.value, dict | list):
            problems.error(node, "must be text")
        elif node.value is not None:
            added[name] = str(node.value)
    return added


def _build(
    sections: Mapping[str, Node], blocked: Sequence[str], environ: Mapping[str, str], problems: Problems
) -> GatewayConfig:
    litellm = read_table(sections.get("litellm_settings"), LITELLM_SETTINGS, problems)
    general = read_table(sections.get("general_settings"), GENERAL_SETTINGS, problems)
    logs = read_logs(sections.get("logs"), problems)
    both = {**general, **litellm, **({"json_logs": logs["json"]} if "json" in logs else {})}
    deployments = _deployments(sections, environ, litellm, problems)
    check_others(sections, problems)
    defaults = GatewayConfig()
    size_mb = general.get("max_request_size_mb")
    groups = [each.model_group for each in deployments]
    around = Surroundings(litellm, groups, environ)
    cache = read_cache(sections, around, problems)
    config = GatewayConfig(
        deployments=deployments,
        router=read_router(
            sections, replace(around, redis_url=cache.redis_url, redis_nodes=cache.redis_nodes), problems
        ),
        cache=cache,
        compression=read_compression(sections.get("compression_settings"), problems),
        ledger=read_ledger(
            {"require_pricing": litellm.get("block_requests_for_models_without_pricing"), **general},
            (*blocked, *litellm.get("blocked_user_list", ())),
            read_limits(sections, litellm, general, problems),
        ),
        entity_defaults=read_entity_defaults(sections, general, litellm),
        access=read_access(general, litellm),
        master_key=general.get("master_key") or _secret(environ, "LITELLM_MASTER_KEY"),
        database_url=general.get("database_url") or database_url(environ),
        request_bytes_max=round(size_mb * BYTES_PER_MB) if size_mb else defaults.request_bytes_max,
        allowed_origins=both.get("allowed_origins", defaults.allowed_origins),
        log_level=read_log_level(logs, both.get("set_verbose", False), environ),
        json_logs=read_json_logs(both, environ),
    )
    warn_not_enforced(sections, problems)
    return replace(config, warnings=problems.warnings)


def _deployments(
    sections: Mapping[str, Node],
    environ: Mapping[str, str],
    litellm: Mapping[str, Any],
    problems: Problems,
) -> tuple[Deployment, ...]:
    reader = DeploymentReader(
        environ, problems, litellm.get("drop_params", False), **router_defaults(sections)
    )
    deployments = reader.read(sections.get("model_list"))
    return (*deployments, *read_model_groups(sections.get("model_groups"), deployments, problems))


def _secret(environ: Mapping[str, str], name: str) -> Secret | None:
    value = environ.get(name)
    return Secret(value) if value else None
