"""The keys of config.yaml that are checked, and what each may be. Plain data.

Checked is more than acted on: a budget that is no number is an error before budgets are enforced. Keys that
may be anything are in `accepted_keys`, those of model_list in `known_model_keys`; those marked "ours" are
meshgate's, the rest is LiteLLM's.
"""

from meshgate_chassis.config import accepted_keys
from meshgate_chassis.config.group_kinds import group_aliases, group_chains, group_names
from meshgate_chassis.config.kinds import (
    amount,
    choice,
    count,
    flag,
    json_object,
    listing,
    log_level,
    mapping,
    mapping_or_names,
    names,
    networks,
    port,
    postgres_address,
    redis_address,
    redis_nodes,
    seconds,
    secret,
    share,
    text,
    time_zone,
    timeout,
    words,
)
from meshgate_chassis.config.known_model_keys import STAGE_TIMEOUTS
from meshgate_chassis.config.schema import Table, accepted

ROUTING_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
    "cost-based-routing",
    "budget-aware-routing",  # ours
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


SECTIONS: Table = {
    **accepted(accepted_keys.SECTIONS),
    "model_list": listing,
    "blocked_users": words,  # a reference deployment's; LiteLLM has litellm_settings.blocked_user_list
    "include": names,
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
    **STAGE_TIMEOUTS,
    "hedging": mapping,  # ours
    "mid_stream_recovery": flag,  # ours
    "enable_mid_stream_fallback_continuation": flag,  # LiteLLM's name for it
    "routing_strategy": choice(*ROUTING_STRATEGIES),
    "routing_strategy_args": mapping,
    "retry_policy": mapping,
    "model_group_retry_policy": mapping,
    "allowed_fails_policy": mapping,
    "default_max_parallel_requests": count,
    "default_litellm_params": mapping,
    "tag_filtering_match_any": flag,
    "redis_url": redis_address,
    "redis_host": text,
    "redis_port": port,
    "redis_username": text,
    "redis_password": secret,
    "redis_ssl": flag,
    "redis_db": count,
    "retry_after": seconds,
    "timeout": timeout,
    "stream_timeout": timeout,
    "max_fallbacks": count,
    "disable_cooldowns": flag,
    "enable_pre_call_checks": flag,
    "enable_tag_filtering": flag,
}

HEDGING: Table = {
    "enabled": flag,
    "quantile": share,
    "delay_min": seconds,
    "extra_calls_max": share,
    "same_deployment": flag,
    "whole_answers": flag,
}

ROUTING_STRATEGY_ARGS: Table = {
    "ttl": timeout,
    "lowest_latency_buffer": amount,
    "max_latency_list_size": count,
}

# Of errors, as policies name them: what comes before "ErrorRetries" and "ErrorAllowedFails".
ERROR_CLASSES = {
    "BadRequest": "bad_request",
    "Authentication": "authentication",
    "Timeout": "timeout",
    "RateLimit": "rate_limit",
    "ContentPolicyViolation": "content_policy",
    "InternalServer": "internal_server",
}
RETRY_POLICY: Table = {f"{name}ErrorRetries": count for name in ERROR_CLASSES}
ALLOWED_FAILS_POLICY: Table = {f"{name}ErrorAllowedFails": count for name in ERROR_CLASSES}

CACHE_PARAMS: Table = {
    **accepted(accepted_keys.CACHE_PARAMS),
    "type": choice(*CACHE_TYPES),
    "host": text,
    "port": port,
    "username": text,
    "password": secret,
    "url": redis_address,
    "ssl": flag,
    "ssl_ca_certs": text,
    "ssl_cert_reqs": choice("none", "optional", "required"),
    "ssl_certfile": text,
    "ssl_keyfile": text,
    "ssl_check_hostname": flag,
    "db": count,
    "namespace": text,
    "ttl": timeout,
    "default_in_memory_ttl": timeout,
    "default_in_redis_ttl": timeout,
    "max_connections": count,
    "redis_startup_nodes": redis_nodes,
    "mode": choice("default_on", "default_off"),
    "supported_call_types": names,
    "similarity_threshold": share,
    "redis_semantic_cache_embedding_model": text,
    "max_false_hit_rate": share,  # ours
    "single_flight": flag,  # ours
    "single_flight_streams": flag,  # ours
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
    "timezone": time_zone,
    "max_user_budget": amount,
    "max_internal_user_budget": amount,
    "max_end_user_budget": amount,
    "default_max_internal_user_budget": amount,
    "internal_user_budget_duration": seconds,
    "default_key_generate_params": json_object,
    "upperbound_key_generate_params": json_object,
    "key_generation_settings": json_object,
    "max_end_user_budget_id": text,
    "default_soft_budget": amount,
    "tag_budget_config": mapping,
    "default_internal_user_params": json_object,
    "default_team_params": json_object,
    "block_requests_for_models_without_pricing": flag,
    "require_auth_for_metrics_endpoint": flag,
    "enforced_params": names,
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
    "allow_requests_on_db_unavailable": flag,
    "maximum_spend_logs_retention_period": timeout,
    "alerting_threshold": seconds,
    "max_parallel_requests": count,
    "global_max_parallel_requests": count,
    "max_response_size_mb": amount,
    "default_budget": amount,
    "default_budget_duration": seconds,
    "litellm_key_budget_duration": seconds,
    "default_key_generate_params": json_object,
    "upperbound_key_generate_params": json_object,
    "key_generation_settings": json_object,
    "litellm_key_header_name": text,
    "enforce_user_param": flag,
    "enforced_params": names,
    "allowed_ips": networks,
    "use_x_forwarded_for": flag,
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

TAG_BUDGET: Table = {
    "max_budget": amount,
    "soft_budget": amount,
    "budget_duration": seconds,
    "rpm": count,
    "tpm": count,
    "max_parallel_requests": count,
    **accepted(("description",)),
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

MODEL_GROUP: Table = {
    "group_name": text,
    "models": listing,
    "routing_strategy": choice(*ROUTING_STRATEGIES),
    **accepted(("description",)),
}

MODEL_GROUP_MEMBER: Table = {"model_name": text, "weight": amount}
