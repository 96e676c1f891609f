"""No problem, no error and no repr ever shows a value that may be a secret, wherever it stands."""

import pytest

from meshgate_chassis.config import ConfigError, check_config, load_config
from meshgate_chassis.config.node import Node
from tests.unit.chassis.config.loading import Folder

PLANTED = "sk-PLANTED-0123456789"

TEMPLATES = [
    "general_settings: {master_key: [X]}",
    "general_settings: {database_url: X, X: 1}",
    "general_settings: {database_url: 'mysql://u:X@h/d'}",
    "general_settings: {max_request_size_mb: X, json_logs: X}",
    "router_settings: {timeout: X, num_retries: X, routing_strategy: X, cooldown_time: X}",
    "router_settings: {fallbacks: [{a: [X]}, {X: [a]}, X]}",
    "router_settings: {fallbacks: [{a: [X]}, {X: [a]}], default_fallbacks: [X]}",
    "router_settings: {model_group_alias: {X: X}}",
    "litellm_settings: {cache: X, allowed_origins: [[X]]}",
    "litellm_settings: {cache: true, cache_params: {port: X, type: X, ttl: X, url: X, ssl: X}}",
    "model_list: [{model_name: a, litellm_params: {model: X}}]",
    "model_list: [{model_name: a, litellm_params: {model: X/X, api_key: X}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/x, api_base: X, rpm: X, X: X}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/x, api_key: {a: X}, extra_headers: [X]}}]",
    "model_list: [{model_name: a, X: X, litellm_params: X}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/x, input_cost_per_token: X}}]",
    "model_list: [X]",
    "model_groups: [{group_name: g, models: [{model_name: X}, X]}]",
    "X: X",
    "X",
    "- X",
    "logs: {level: X}",
    "environment_variables: {A: [X]}",
    "general_settings: {master_key: os.environ/X}",
    "general_settings: {master_key: *X}",
    "general_settings: {master_key: !X a}",
    'general_settings: {master_key: "X}',
    "general_settings:\n  master_key: X: X",
    "include: [X]",
    "general_settings: {X: 1, X: 2}",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("from_environment", [False, True])
def test_no_problem_shows_a_value(folder: Folder, template: str, from_environment: bool) -> None:
    """A secret in any wrong place, written or from the environment."""
    written = "${PLANTED}" if from_environment else PLANTED
    path = folder.write(template.replace("X", written))
    problems = check_config(path, {"PLANTED": PLANTED})
    said = "".join(f"{each}{each!r}" for each in problems)
    try:
        said += repr(load_config(path, {"PLANTED": PLANTED}))
    except ConfigError as error:
        said += f"{error}{error!r}{error.problems}"
    assert "PLANTED-0123456789" not in said
    assert from_environment or problems


def test_no_repr_shows_a_value(folder: Folder) -> None:
    """Of a configuration that is right, with secrets in every place that may hold one."""
    text = f"""\
        model_list:
          - model_name: a
            litellm_params:
              model: openai/x
              api_key: {PLANTED}
              api_base: https://user:{PLANTED}@host/v1
              extra_headers: {{Authorization: Bearer {PLANTED}}}
              extra_body: {{token: {PLANTED}}}
              client_secret: {PLANTED}
            model_info: {{note: {PLANTED}}}
        litellm_settings: {{cache: true, cache_params: {{host: h, password: {PLANTED}}}}}
        general_settings: {{master_key: {PLANTED}, database_url: 'postgresql://u:{PLANTED}@h/d'}}
        environment_variables: {{OTHER: {PLANTED}}}
        """
    config = folder.load(text)
    assert () == config.warnings
    assert PLANTED not in repr(config) + str(config)
    assert config.master_key is not None and PLANTED == config.master_key.value
    assert PLANTED not in str(config.master_key)


def test_a_node_shows_no_value() -> None:
    """Tracebacks print nodes."""
    assert PLANTED not in repr(Node(PLANTED, "f", 1, "w", PLANTED))


def test_names_are_shown(folder: Folder) -> None:
    """The rule is no excuse for messages that name nothing."""
    lines = folder.lines(
        "model_list: [{model_name: a, litellm_params: {model: openai/x}}]\n"
        "router_settings: {fallbacks: [{a: [meta-llama/Llama-4-Maverick-17B-128E-Instruct]}]}"
    )
    assert "'meta-llama/Llama-4-Maverick-17B-128E-Instruct'" in lines[0]
