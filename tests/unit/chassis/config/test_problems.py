"""What is wrong is said with file, line, path and the key that was probably meant; all of it at once."""

import pytest

from meshgate_chassis.config import ConfigError, check_config, load_config
from meshgate_chassis.config.yaml_source import FILE_BYTES_MAX
from tests.unit.chassis.config.loading import Folder


def test_every_problem_at_once(folder: Folder) -> None:
    """Errors and warnings of all sections, each on its line."""
    text = """\
        model_list:
          - model_name: a
            litellm_params:
              model: openai/gpt-4o
              rpm: -1
              timeout: abc
          - litellm_params: {model: openai/gpt-4o}
          - model_name: b
            litellm_params: {api_key: x}
          - model_name: c
          - just text
        router_settings:
          routing_strategy: least-bussy
          num_retrys: 2
        litellm_settings: [drop_params]
        generall_settings: {}
        """
    assert folder.lines(text) == [
        (
            "warning config.yaml:16: generall_settings: unknown section: it has no effect"
            " (did you mean 'general_settings'?)"
        ),
        "error config.yaml:15: litellm_settings: must be a mapping, not a list",
        "error config.yaml:5: model_list[0].litellm_params.rpm: must not be negative",
        (
            "error config.yaml:6: model_list[0].litellm_params.timeout: must be seconds,"
            ' or a duration such as "30s", "5m", "1h", "1d"'
        ),
        "error config.yaml:7: model_list[1]: has no model_name",
        "error config.yaml:9: model_list[2].litellm_params: has no model",
        "error config.yaml:10: model_list[3]: has no litellm_params",
        "error config.yaml:11: model_list[4]: must be a mapping, not text",
        (
            "error config.yaml:13: router_settings.routing_strategy: must be one of simple-shuffle,"
            " least-busy, latency-based-routing, usage-based-routing, usage-based-routing-v2,"
            " cost-based-routing, budget-aware-routing, provider-budget-routing (did you mean 'least-busy'?)"
        ),
        (
            "warning config.yaml:14: router_settings.num_retrys: unknown key: it has no effect"
            " (did you mean 'num_retries'?)"
        ),
    ]


def test_errors_refuse_and_warnings_do_not(folder: Folder) -> None:
    """load_config raises all errors and no warnings; without an error it returns the warnings."""
    with pytest.raises(ConfigError) as caught:
        folder.load("router_settings: {timeout: x, num_retries: 1.5, tiemout: 1}")
    assert ["timeout", "num_retries"] == [each.where.split(".")[1] for each in caught.value.problems]
    assert str(caught.value).count("\n") == 1
    config = folder.load("router_settings: {tiemout: 1}")
    assert ["router_settings.tiemout"] == [each.where for each in config.warnings]
    assert config.warnings[0].suggestion == "timeout"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("model_list: {a: b}", "model_list"),
        ("model_list: [{model_name: [a], litellm_params: {model: openai/x}}]", "model_list[0].model_name"),
        ("model_list: [{model_name: a, litellm_params: openai/x}]", "model_list[0].litellm_params"),
        (
            "model_list: [{model_name: a, litellm_params: {model: openai/x, tpm: true}}]",
            "model_list[0].litellm_params.tpm",
        ),
        (
            "model_list: [{model_name: a, litellm_params: {model: openai/x, api_base: localhost}}]",
            "model_list[0].litellm_params.api_base",
        ),
        (
            "model_list: [{model_name: a, litellm_params: {model: openai/x, input_cost_per_token: -1}}]",
            "model_list[0].litellm_params.input_cost_per_token",
        ),
        (
            (
                "model_list: [{model_name: a, litellm_params: {model: o1},"
                " model_info: {output_cost_per_token: x}}]"
            ),
            "model_list[0].model_info.output_cost_per_token",
        ),
        (
            "model_list: [{model_name: a, litellm_params: {model: openai/x, extra_headers: {A: [1]}}}]",
            "model_list[0].litellm_params.extra_headers.A",
        ),
        (
            "model_list: [{model_name: a, litellm_params: {model: o1, output_cost_per_token: 2500}}]",
            "model_list[0].litellm_params.output_cost_per_token",
        ),
        ("model_list: [null]", "model_list[0]"),
        ("router_settings: {timeout: 0}", "router_settings.timeout"),
        ("router_settings: {cooldown_time: -1}", "router_settings.cooldown_time"),
        ("router_settings: {num_retries: 1e30}", "router_settings.num_retries"),
        ("router_settings: {fallbacks: [a]}", "router_settings.fallbacks[0]"),
        ("router_settings: {fallbacks: [{a: [{b: c}]}]}", "router_settings.fallbacks[0].a[0]"),
        ("router_settings: {default_fallbacks: 3}", "router_settings.default_fallbacks"),
        ("router_settings: {default_fallbacks: [null]}", "router_settings.default_fallbacks[0]"),
        ("router_settings: {model_group_alias: {a: 1}}", "router_settings.model_group_alias.a"),
        ("litellm_settings: {cache: maybe}", "litellm_settings.cache"),
        (
            "litellm_settings: {cache: true, cache_params: {type: reddis}}",
            "litellm_settings.cache_params.type",
        ),
        (
            "litellm_settings: {cache: true, cache_params: {port: 70000}}",
            "litellm_settings.cache_params.port",
        ),
        (
            "litellm_settings: {cache: true, cache_params: {url: 'http://x'}}",
            "litellm_settings.cache_params.url",
        ),
        ("litellm_settings: {cache: true, cache_params: {ttl: 0}}", "litellm_settings.cache_params.ttl"),
        ("general_settings: {database_url: 'mysql://x'}", "general_settings.database_url"),
        ("general_settings: {max_request_size_mb: big}", "general_settings.max_request_size_mb"),
        ("general_settings: {master_key: [a]}", "general_settings.master_key"),
        ("environment_variables: [A]", "environment_variables"),
        ("environment_variables: {A: {B: c}}", "environment_variables.A"),
        ("budgets: {max_budget: lots}", "budgets.max_budget"),
        ("rate_limit: {rpm: 0.5}", "rate_limit.rpm"),
        ("logs: {level: LOUD}", "logs.level"),
        ("compression_settings: {target_ratio: 2}", "compression_settings.target_ratio"),
        ("model_groups: {a: b}", "model_groups"),
        ("model_groups: [{models: [{model_name: a}]}]", "model_groups[0]"),
    ],
)
def test_wrong_values_are_errors(folder: Folder, text: str, where: str) -> None:
    """Each wrong value of a key we know is one error, and nothing else is."""
    assert [where] == [each.where for each in folder.check(text) if each.severity == "error"]


def test_an_id_belongs_to_one_entry(folder: Folder) -> None:
    """A second model_info.id of the same name is an error on its line."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x}, model_info: {id: one}}
          - {model_name: b, litellm_params: {model: openai/y}, model_info: {id: one}}
        """
    assert ["error config.yaml:3: model_list[1].model_info.id: another entry has the same id"] == (
        folder.lines(text)
    )


def test_a_missing_file(folder: Folder) -> None:
    """One sentence, no traceback."""
    path = folder.path / "nowhere.yaml"
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_config(path, {})
    assert 1 == len(check_config(path, {}))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2", 2),
        ("model_list:\n  - a\n b: c", 3),
        ("a: 1\n---\nb: 2", 2),
        ("a: *nobody", 1),
        ("a: !!python/object/apply:os.system ['true']", 1),
        ("a:\n  b: !secret x", 2),
        ("? [a]\n: b", 1),
        ("- a\n- b", 0),
        ("just text", 0),
    ],
)
def test_a_file_that_is_no_mapping(folder: Folder, text: str, line: int) -> None:
    """Syntax errors, tags and other documents are one error with their line."""
    path = folder.path / "config.yaml"
    path.write_text(text)
    errors = [each for each in check_config(path, {}) if each.severity == "error"]
    assert [line] == [each.line for each in errors]


def test_a_file_that_is_no_text(folder: Folder) -> None:
    """Bytes that are not UTF-8, and characters that YAML forbids, are one error each."""
    path = folder.path / "config.yaml"
    for content in (b"a: \xff\xfe", b"a: \x00"):
        path.write_bytes(content)
        assert 1 == len(check_config(path, {}))


def test_a_file_that_is_too_large(folder: Folder) -> None:
    """Is not read at all."""
    path = folder.path / "config.yaml"
    path.write_text("a: b\n" * (FILE_BYTES_MAX // 5 + 1))
    (problem,) = check_config(path, {})
    assert "larger than" in problem.message


def test_a_file_that_explodes(folder: Folder) -> None:
    """Aliases that expand without end, and endless nesting, end at a limit."""
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )
    for text in (laughs, "a: &a [*a]", "a: " + "[" * 5_000):
        path = folder.path / "config.yaml"
        path.write_text(text)
        assert "error" in {each.severity for each in check_config(path, {})}


def test_a_key_given_twice(folder: Folder) -> None:
    """The last one counts, as in LiteLLM, but somebody says so."""
    assert 7 == folder.load("router_settings: {num_retries: 3, num_retries: 7}").router.num_retries
    assert "given twice" in folder.lines("router_settings: {num_retries: 3, num_retries: 7}")[0]
