"""The keys of config.yaml that are checked, and what each may be. Plain data.

Checked is more than acted on: a budget that is no number is an error before budgets are enforced. Keys that
may be anything are in `accepted_keys`; those marked "ours" are meshgate's, the rest is LiteLLM's.
"""

from meshgate_chassis.config import accepted_keys
from meshgate_chassis.config.group_kinds import group_aliases, group_chains, group_names
from meshgate_chassis.config.kinds import (
    amount,
    anything,
    choice,
    count,
    flag,
    headers,
    json_object,
    listing,
    log_level,
    mapping,
    mapping_or_names,
    name_list,
    names,
    number,
    port,
    postgres_address,
    price,
    redis_address,
    seconds,
    secret,
    share,
    text,
    timeout,
    url,
    words,
)
from meshgate_chassis.config.schema import Table

ROUTING_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
    "cost-based-routing",
    "provider-budget-routing",
)
CACHE_TYPES = (
    "local",
    "redis",
    "redis-semantic",
    "local-semantic",
    "qdrant-semantic",
    "s3",
    "disk",
    "gcs",
    "azure-blob",
)


def accepted(keys: tuple[str, ...]) -> Table:
    """Known keys that may be anything."""
    return dict.fromkeys(keys, anything)


SECTIONS: Table = {
    **accepted(accepted_keys.SECTIONS),
    "model_list": listing,
    "blocked_users": words,  # a reference deployment's; LiteLLM has litellm_settings.blocked_user_list
    "include": names,
}

MODEL_ENTRY: Table = {"model_name": text, "litellm_params": mapping, "model_info": mapping}

PRICES: Table = {
    "input_cost_per_token": price,
    "output_cost_per_token": price,
    "cache_read_input_token_cost": price,
    "cache_creation_input_token_cost": price,
}

# Members of litellm_params that the gateway takes for itself.
DEPLOYMENT_PARAMS: Table = {
    **accepted(accepted_keys.LITELLM_PARAMS),
    **PRICES,
    "model": text,
    "api_key": secret,
    "api_base": url,
    "base_url": url,
    "organization": text,
    "custom_llm_provider": text,
    "rpm": count,
    "tpm": count,
    "weight": amount,
    "order": number,
    "max_parallel_requests": count,
    "max_retries": count,
    "timeout": timeout,
    "stream_timeout": timeout,
    "drop_params": flag,
    "extra_headers": headers,
    "headers": headers,
    "max_budget": amount,
    "budget_duration": seconds,
}

# Members of litellm_params that become defaults of the request. The router takes the first three out again.
REQUEST_PARAMS: Table = {
    **accepted(accepted_keys.REQUEST_PARAMS),
    "extra_body": json_object,
    "additional_drop_params": name_list,
    "allowed_openai_params": name_list,
    "max_tokens": count,
    "max_completion_tokens": count,
    "temperature": number,
    "top_p": number,
    "top_k": number,
    "min_p": number,
    "n": count,
    "seed": number,
    "presence_penalty": number,
    "frequency_penalty": number,
    "repetition_penalty": number,
    "parallel_tool_calls": flag,
    "logprobs": flag,
    "top_logprobs": count,
    "dimensions": count,
}

LITELLM_PARAMS: Table = {**DEPLOYMENT_PARAMS, **REQUEST_PARAMS}

MODEL_INFO: Table = {
    **PRICES,
    "id": text,
    "mode": text,
    "base_model": text,
    "max_tokens": count,
    "max_input_tokens": count,
    "max_output_tokens": count,
    "access_groups": names,
}

# `router_settings`, and the members that `litellm_settings` shares with it.
SHARED_ROUTER_SETTINGS: Table = {
    "num_retries": count,
    "allowed_fails": count,
    "cooldown_time": seconds,
    "fallbacks": group_chains,
    "context_window_fallbacks": group_chains,
    "content_policy_fallbacks": group_chains,
    "default_fallbacks": group_names,
    "model_group_alias": group_aliases,
}

ROUTER_SETTINGS: Table = {
    **accepted(accepted_keys.ROUTER_SETTINGS),
    **SHARED_ROUTER_SETTINGS,
    "routing_strategy": choice(*ROUTING_STRATEGIES),
    "routing_strategy_args": mapping,
    "retry_after": seconds,
    "timeout": timeout,
    "stream_timeout": timeout,
    "max_fallbacks": count,
    "disable_cooldowns": flag,
    "enable_pre_call_checks": flag,
    "enable_tag_filtering": flag,
}

CACHE_PARAMS: Table = {
    **accepted(accepted_keys.CACHE_PARAMS),
    "type": choice(*CACHE_TYPES),
    "host": text,
    "port": port,
    "username": text,
    "password": secret,
    "url": redis_address,
    "ssl": flag,
    "db": count,
    "namespace": text,
    "ttl": timeout,
    "default_in_memory_ttl": timeout,
    "default_in_redis_ttl": timeout,
    "max_connections": count,
    "mode": choice("default_on", "default_off"),
    "supported_call_types": names,
    "similarity_threshold": share,
    "max_false_hit_rate": share,  # ours
    "enabled": flag,  # cache_settings of a reference deployment
}

LITELLM_SETTINGS: Table = {
    **accepted(accepted_keys.LITELLM_SETTINGS),
    **SHARED_ROUTER_SETTINGS,
    "request_timeout": timeout,
    "drop_params": flag,
    "modify_params": flag,
    "cache": flag,
    "set_verbose": flag,
    "json_logs": flag,
    "log_raw_request_response": flag,
    "allowed_origins": names,
    "blocked_user_list": words,
    "max_budget": amount,
    "budget_duration": seconds,
    "rpm": count,
    "tpm": count,
    "max_parallel_requests": count,
    "global_max_parallel_requests": count,
    "max_user_budget": amount,
    "max_internal_user_budget": amount,
    "max_end_user_budget": amount,
}

GENERAL_SETTINGS: Table = {
    **accepted(accepted_keys.GENERAL_SETTINGS),
    "master_key": secret,
    "database_url": postgres_address,
    "max_request_size_mb": amount,
    "set_verbose": flag,
    "json_logs": flag,
    "allowed_origins": names,
    "default_output_tokens": count,  # ours
    "hold_duration": timeout,  # ours
    "require_pricing": flag,  # ours
    "alerting_threshold": seconds,
    "max_parallel_requests": count,
    "global_max_parallel_requests": count,
    "max_response_size_mb": amount,
    "default_budget": amount,
    "default_budget_duration": seconds,
    "litellm_key_budget_duration": seconds,
}

LOGS: Table = {
    "level": log_level,
    "json": flag,
    **accepted(("log_raw_request_response", "format", "file", "path", "rotation", "retention")),
}
COMPRESSION_SETTINGS: Table = {  # ours
    "enabled": flag,
    "compressor": text,
    "target_ratio": share,
    "rag_target_ratio": share,
    "min_tokens": count,
    "guard": flag,
    "models": mapping_or_names,
}

MODEL_COMPRESSION: Table = {  # ours
    "enabled": flag,
    "compressor": text,
    "target_ratio": share,
    "rag_target_ratio": share,
    "min_tokens": count,
    "allow_system": flag,
    "guard": flag,
}

LOAD_BALANCING_SETTINGS: Table = {
    "enable": flag,
    "enabled": flag,
    "routing_algorithm": choice(*ROUTING_STRATEGIES),
    **accepted(("health_check_interval",)),
}

BUDGETS: Table = {
    "max_budget": amount,
    "budget_duration": seconds,
    "soft_budget_limit": amount,
    "soft_budget": amount,
    **accepted(("enabled", "alerts", "alerting")),
}

RATE_LIMIT: Table = {
    "rpm": count,
    "tpm": count,
    "max_parallel_requests": count,
    **accepted(("enabled",)),
}

HEALTH_CHECK: Table = {
    "enabled": flag,
    "port": port,
    "endpoint": text,
    "interval": seconds,
    "timeout": timeout,
}

PROMETHEUS: Table = {"enabled": flag, "port": port, "endpoint": text}

MODEL_GROUP: Table = {"group_name": text, "models": listing, **accepted(("description", "routing_strategy"))}

MODEL_GROUP_MEMBER: Table = {"model_name": text, "weight": amount}
