"""What nothing acts on yet is said, once for each key; what is acted on is not."""

from fnmatch import fnmatchcase

import pytest

from meshgate_chassis.config import known_keys, known_model_keys
from meshgate_chassis.config.accepted_keys import words
from meshgate_chassis.config.not_yet import NOT_YET, SAID, TOKENS_ALONE, NotYet
from meshgate_chassis.config.schema import Table
from tests.unit.chassis.config.loading import Folder

TABLES: dict[str, Table] = {
    "": known_keys.SECTIONS,
    "router_settings.": known_keys.ROUTER_SETTINGS,
    "litellm_settings.": known_keys.LITELLM_SETTINGS,
    "litellm_settings.cache_params.": known_keys.CACHE_PARAMS,
    "general_settings.": known_keys.GENERAL_SETTINGS,
    "load_balancing_settings.": known_keys.LOAD_BALANCING_SETTINGS,
    "model_groups().": known_keys.MODEL_GROUP,
    "model_list().litellm_params.": known_model_keys.LITELLM_PARAMS,
}
# Free keys of LiteLLM's, in places where any key may stand.
FREE = frozenset({"model_list[].model_info.team_id"})

EVERYTHING_ACTED_ON = """\
    model_list:
      - model_name: a
        litellm_params:
          {model: openai/x, api_base: "http://x", timeout: 1, stream_timeout: 1, weight: 1, drop_params: true,
           input_cost_per_token: 1e-6, output_cost_per_token: 1e-6, cache_read_input_token_cost: 1e-7,
           cache_creation_input_token_cost: 1e-6, organization: o, extra_headers: {a: b}, max_tokens: 1,
           rpm: 1, rpd: 1, tpm: 1, tpd: 1, itpm: 1, otpm: 1, max_parallel_requests: 1, blocked: true,
           quota_time_zone: America/Los_Angeles, order: 1, tags: [x], num_retries: 1, max_retries: 1,
           retry_policy: {TimeoutErrorRetries: 1}, allowed_fails_policy: {TimeoutErrorAllowedFails: 1},
           allowed_fails: 1, cooldown_time: 1}
        model_info:
          {id: one, mode: chat, access_groups: [g], base_model: openai/x, max_input_tokens: 1,
           allowed_fails: 1, cooldown_time: 1}
    model_groups:
      [{group_name: g, routing_strategy: least-busy, models: [{model_name: a, weight: 1}]}]
    router_settings:
      {routing_strategy: simple-shuffle, num_retries: 1, retry_after: 1, timeout: 1, stream_timeout: 1,
       fallbacks: [{a: [g]}], default_fallbacks: [g], context_window_fallbacks: [{a: [g]}],
       content_policy_fallbacks: [{a: [g]}], max_fallbacks: 1, allowed_fails: 1, cooldown_time: 1,
       model_group_alias: {b: a}, enable_pre_call_checks: true, enable_tag_filtering: true,
       tag_filtering_match_any: false, disable_cooldowns: true, retry_policy: {RateLimitErrorRetries: 3},
       model_group_retry_policy: {a: {InternalServerErrorRetries: 3}}, redis_host: h, redis_port: 1,
       allowed_fails_policy: {AuthenticationErrorAllowedFails: 0}, default_max_parallel_requests: 9,
       routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5, max_latency_list_size: 5},
       default_litellm_params: {temperature: 0}, optional_pre_call_checks: [], routing_groups: []}
    litellm_settings:
      {request_timeout: 1, drop_params: true, cache: true, cache_params: {type: local, ttl: 1},
       json_logs: true, allowed_origins: [x], callbacks: [prometheus], success_callback: prometheus,
       blocked_user_list: [x], guardrails: [], max_budget: 1, budget_duration: 1d, rpm: 1, tpm: 1,
       max_parallel_requests: 1, global_max_parallel_requests: 1, max_user_budget: 1, max_end_user_budget: 1,
       timezone: UTC, max_end_user_budget_id: b, default_soft_budget: 1,
       tag_budget_config: {"a:b": {max_budget: 1, budget_duration: 1d}}, enforced_params: [user],
       default_internal_user_params: {max_budget: 1}, default_team_params: {max_budget: 1},
       key_generation_settings: {team_key_generation: {required_params: [tags]}},
       block_requests_for_models_without_pricing: true, require_auth_for_metrics_endpoint: true}
    general_settings:
      {max_parallel_requests: 1, litellm_key_header_name: X-Key, enforce_user_param: true,
       allowed_ips: [127.0.0.1, 10.0.0.0/8], use_x_forwarded_for: true, enforced_params: [user],
       master_key: x, database_url: "postgresql://x", max_request_size_mb: 1, default_output_tokens: 1,
       hold_duration: 1, require_pricing: true, alerting: []}
    compression_settings: {enabled: true}
    blocked_users: [x]
    budgets: {max_budget: 1, budget_duration: 1d, soft_budget: 1}
    rate_limit: {rpm: 1, tpm: 1, max_parallel_requests: 1}
    """


def said(folder: Folder, text: str) -> list[str]:
    """`key: what happens instead` of each warning of this kind."""
    return [
        f"{each.where}: {each.message.removeprefix(f'{SAID}: ')}"
        for each in folder.check(text)
        if each.message.startswith(SAID)
    ]


def test_what_works_is_not_warned_of(folder: Folder) -> None:
    """Nor is what is empty, null or false."""
    assert [] == folder.lines(EVERYTHING_ACTED_ON)


@pytest.mark.parametrize("row", NOT_YET, ids=lambda row: row.key)
def test_a_row_is_about_a_key_that_is_known(row: NotYet) -> None:
    """A row with a slip in its key would be a warning that never comes."""
    key = row.key
    known = (prefix + name.replace("_*", "_x") for prefix, table in TABLES.items() for name in table)
    pattern = key.replace("[]", "()")
    assert key in FREE or any(fnmatchcase(name, pattern) for name in known)
    assert 1 == sum(key == each.key for each in NOT_YET)


LIMITS = words(
    """
    general_settings.max_response_size_mb litellm_settings.default_team_settings
    general_settings.allowed_routes general_settings.admin_only_routes
    general_settings.enable_jwt_auth router_settings.provider_budget_config
    router_settings.redis_cluster_nodes router_settings.optional_pre_call_checks
    """
)


@pytest.mark.parametrize("key", LIMITS)
def test_a_limit_that_nothing_keeps_is_said(folder: Folder, key: str) -> None:
    """A wrong type may be an error as well; nothing is accepted in silence."""
    section, _, name = key.partition(".")
    value = "{a: b}" if name == "provider_budget_config" else 1
    assert [key] == [line.partition(":")[0] for line in said(folder, f"{section}: {{{name}: {value}}}")]


@pytest.mark.parametrize("text", ["guardrails: [{a: b}]", "policies: {a: b}"])
def test_a_section_that_nothing_reads_is_said(folder: Folder, text: str) -> None:
    """As a whole."""
    assert [text.partition(":")[0]] == [line.partition(":")[0] for line in said(folder, text)]


def test_many_deployments_are_one_warning(folder: Folder) -> None:
    """It stands at the first one, and tells how many there are."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x}}
          - {model_name: b, litellm_params: {model: openai/x, tag_regex: [x], max_budget: 2}}
          - {model_name: b, litellm_params: {model: openai/y, tag_regex: [y], access_windows: [1]}}
          - {model_name: c, litellm_params: {model: openai/y}, model_info: {input_cost_per_second: 1}}
        """
    at = "model_list[1].litellm_params"
    assert said(folder, text) == [
        f"{at}.max_budget: only a key's own max_budget limits what is spent",
        f"model_list[3].model_info.input_cost_per_second: {TOKENS_ALONE}",
        "model_list[2].litellm_params.access_windows: all deployments of the group are eligible",
        f"{at}.tag_regex: all deployments of the group are eligible (the first of 2 places)",
    ]


@pytest.mark.parametrize(
    "section", ["router_settings.routing_strategy", "load_balancing_settings.routing_algorithm"]
)
@pytest.mark.parametrize("strategy", known_keys.ROUTING_STRATEGIES)
def test_strategies(folder: Folder, section: str, strategy: str) -> None:
    """The one that is missing."""
    name, _, key = section.partition(".")
    missing = strategy == "provider-budget-routing"
    expected = [f"{section}: simple-shuffle is used"] if missing else []
    assert expected == said(folder, f"{name}: {{{key}: {strategy}}}")


def test_callbacks_that_are_there(folder: Folder) -> None:
    """Prometheus is, others are not, and neither is a list with others in it."""
    assert 1 == len(said(folder, "litellm_settings: {callbacks: [prometheus, langfuse]}"))
    assert 1 == len(said(folder, "litellm_settings: {success_callback: langfuse}"))


def test_what_is_wrong_is_not_also_said_to_be_missing(folder: Folder) -> None:
    """One line for one mistake."""
    assert 1 == len(folder.lines("router_settings: {routing_strategy: fastest}"))
