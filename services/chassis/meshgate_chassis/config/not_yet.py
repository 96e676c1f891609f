"""Keys of config.yaml that promise a limit, a protection or a routing rule that nothing keeps: plain data.

Each one that is set becomes a warning at start and in `meshgate check`. Whoever implements a key deletes
its row. In `key`, `[]` stands for every item of a list, and `*` for any text within a name.
"""

from dataclasses import dataclass

SAID = "is accepted but not enforced yet"

KEY_BUDGETS_ONLY = "only a key's own max_budget limits what is spent"
NO_RATE_LIMITS = "no request is refused because of it"
ANY_ROUTE = "every valid key may use every route but those that manage keys"
OWN_KEYS = "only the master key and virtual keys are accepted"
UNCHECKED = "prompts and answers pass unchecked"
TOKENS_ALONE = (
    "tokens and requests are charged: input_, output_, cache_, audio and reasoning tokens, also "
    "_above_<n>k_tokens, and input_cost_per_request"
)
SHUFFLED = "simple-shuffle is used"
STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
    "cost-based-routing",
    "budget-aware-routing",
)
ALL_ELIGIBLE = "all deployments of the group are eligible"
NOBODY_TOLD = "nobody is told; /metrics has the numbers"
NO_SENTINEL = "Sentinel is not asked: host or url names the primary, or what leads to it"
METRICS_ONLY = "nothing is sent; /metrics is always there"


@dataclass(frozen=True, slots=True)
class NotYet:
    """`instead`: what happens. `acted_on`: values that do work."""

    key: str
    instead: str
    acted_on: tuple[str, ...] = ()


NOT_YET: tuple[NotYet, ...] = (
    # Budgets
    NotYet("litellm_settings.cost_*_config", "calls are charged at the provider's price"),
    NotYet("router_settings.provider_budget_config", KEY_BUDGETS_ONLY),
    NotYet("model_list[].litellm_params.max_budget", KEY_BUDGETS_ONLY),
    NotYet("model_list[].litellm_params.budget_duration", KEY_BUDGETS_ONLY),
    NotYet("model_list[].*.*put_cost_per_token_[!a]*", TOKENS_ALONE),
    NotYet("model_list[].*.*_above_*k_tokens_*", TOKENS_ALONE),
    NotYet("model_list[].*.cache_creation_input_token_cost_above_*hr*", TOKENS_ALONE),
    NotYet("model_list[].*.*put_cost_per_[!tarq]*", TOKENS_ALONE),
    NotYet("model_list[].*.*put_cost_per_audio_[!t]*", TOKENS_ALONE),
    NotYet("model_list[].*.*put_cost_per_audio_token_*", TOKENS_ALONE),
    NotYet("model_list[].*.*put_cost_per_reasoning_token_*", TOKENS_ALONE),
    NotYet("model_list[].*.*put_cost_per_query_*", TOKENS_ALONE),
    NotYet("model_list[].*.*put_cost_per_text_message", TOKENS_ALONE),
    NotYet("model_list[].litellm_params.cost_per_*", TOKENS_ALONE),
    # Rates
    NotYet("litellm_settings.priority_reservation*", NO_RATE_LIMITS),
    NotYet("general_settings.max_response_size_mb", "MESHGATE_ROUTER_RESPONSE_BYTES_MAX limits an answer"),
    NotYet("router_settings.max_parallel_requests", NO_RATE_LIMITS),
    NotYet("model_list[].litellm_params.default_api_key_?pm_limit", NO_RATE_LIMITS),
    # Access
    NotYet("litellm_settings.default_team_settings", METRICS_ONLY),
    NotYet("general_settings.allowed_routes", ANY_ROUTE),
    NotYet("general_settings.admin_*_routes", ANY_ROUTE),
    NotYet("general_settings.enforce_rbac", ANY_ROUTE),
    NotYet("general_settings.role_permissions", ANY_ROUTE),
    NotYet("general_settings.enable_jwt_auth", OWN_KEYS),
    NotYet("general_settings.enable_oauth2_*auth", OWN_KEYS),
    NotYet("general_settings.custom_auth", OWN_KEYS),
    NotYet("model_list[].litellm_params.access_windows", ALL_ELIGIBLE),
    NotYet("model_list[].model_info.team_id", "every team may use the entry; limit it by the models of keys"),
    # Content
    NotYet("guardrails", UNCHECKED),
    NotYet("policies", UNCHECKED),
    NotYet("litellm_settings.guardrails", UNCHECKED),
    NotYet("litellm_settings.banned_keywords_list", UNCHECKED),
    NotYet("litellm_settings.*_call_rules", UNCHECKED),
    NotYet("model_list[].litellm_params.guardrails", UNCHECKED),
    # Routing
    NotYet("router_settings.routing_strategy", SHUFFLED, acted_on=STRATEGIES),
    NotYet("load_balancing_settings.routing_algorithm", SHUFFLED, acted_on=STRATEGIES),
    NotYet("model_groups[].routing_strategy", SHUFFLED, acted_on=STRATEGIES),
    NotYet("router_settings.routing_groups", "routing_strategy holds for all models"),
    NotYet("router_settings.optional_pre_call_checks", ALL_ELIGIBLE),
    NotYet("router_settings.enable_health_check_routing", ALL_ELIGIBLE),
    NotYet("model_list[].litellm_params.tag_regex", ALL_ELIGIBLE),
    NotYet("model_list[].litellm_params.fallbacks", "write them under router_settings"),
    NotYet("*_settings.http*_proxy", "providers are called directly"),
    # Messages to people and other systems
    NotYet("litellm_settings.cache_params.sentinel_*", NO_SENTINEL),
    NotYet("litellm_settings.cache_params.service_name", NO_SENTINEL),
    NotYet("general_settings.alerting", NOBODY_TOLD),
    NotYet("*_settings.callbacks", METRICS_ONLY, acted_on=("prometheus",)),
    NotYet("*_settings.*_callback", METRICS_ONLY, acted_on=("prometheus", "prometheus_system")),
)
