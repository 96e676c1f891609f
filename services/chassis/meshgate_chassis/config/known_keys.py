"""The keys of config.yaml that LiteLLM or the reference deployments use, and what each may be.

Plain data. A key of kind `anything` is known but not acted on yet. Sources: LiteLLM's documentation
by way of the project's contract notes; keys marked "ours" are meshgate's.
"""

from meshgate_chassis.config.group_kinds import group_aliases, group_lists, group_names
from meshgate_chassis.config.kinds import (
    amount,
    anything,
    choice,
    count,
    flag,
    headers,
    listing,
    mapping,
    names,
    number,
    price,
    seconds,
    secret,
    share,
    text,
    timeout,
    url,
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
    "qdrant-semantic",
    "s3",
    "disk",
    "gcs",
    "azure-blob",
)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def accepted(keys: str) -> Table:
    """Known keys that may be anything."""
    return dict.fromkeys(keys.split(), anything)


SECTIONS: Table = {
    "model_list": listing,
    "include": names,
    **accepted(
        """
        litellm_settings router_settings general_settings environment_variables callback_settings guardrails
        credential_list mcp_servers mcp_tools finetune_settings files_settings vector_store_registry search_tools
        prompts policies model_groups budgets rate_limit cache_settings load_balancing_settings health_check
        prometheus blocked_users logs compression_settings assistant_settings agent_list agents
        """
    ),
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
    **accepted(
        """
        api_version additional_drop_params allowed_openai_params allowed_fails_policy auto_router_config
        auto_router_config_path auto_router_default_model auto_router_embedding_model aws_access_key_id
        aws_bedrock_runtime_endpoint aws_profile_name aws_region_name aws_role_name aws_secret_access_key
        aws_session_name aws_session_token aws_sts_endpoint aws_web_identity_token azure_ad_token
        azure_ad_token_provider azure_password azure_scope azure_username base_model bedrock_invocation_path
        cache_control_injection_points client_id client_secret configurable_clientside_auth_params
        cooldown_time default_api_key_rpm_limit default_api_key_tpm_limit enable_json_schema_validation
        fallbacks gcs_bucket_name guardrails headers hf_model_name input_cost_per_audio_token
        input_cost_per_character input_cost_per_image input_cost_per_pixel input_cost_per_query
        input_cost_per_second input_cost_per_token_above_128k_tokens input_cost_per_token_above_200k_tokens
        input_cost_per_token_batches litellm_credential_name litellm_system_prompt litellm_trace_id
        max_file_size_mb merge_reasoning_content_in_choices milvus_text_field mock_response model_info
        model_config num_retries order output_cost_per_audio_token output_cost_per_character
        output_cost_per_image output_cost_per_pixel output_cost_per_reasoning_token output_cost_per_second
        output_cost_per_token_above_128k_tokens output_cost_per_token_above_200k_tokens
        output_cost_per_token_batches prompt_id prompt_variables prompt_version region_name retry_policy
        s3_bucket_name s3_encryption_key_id ssl_verify ssl_certificate stream_response tag_regex tags tenant_id
        use_chat_completions_api use_in_pass_through use_litellm_proxy use_psc vector_store_id vertex_credentials
        vertex_location vertex_project watsonx_region_name weight
        """
    ),
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
    "extra_body": mapping,
    "max_budget": amount,
    "budget_duration": seconds,
}

# Members of litellm_params that become defaults of the request.
REQUEST_PARAMS: Table = {
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
    **accepted(
        """
        audio cache_control chat_template_kwargs encoding_format format function_call functions
        guided_choice guided_grammar guided_json guided_regex input_type keep_alive logit_bias metadata
        modalities num_ctx num_predict options prediction prompt_cache_key reasoning reasoning_effort
        repeat_penalty response_format safety_identifier safety_settings safetySettings service_tier stop store
        stream stream_options suffix system think thinking tool_choice tools truncation user verbosity voice
        web_search_options
        """
    ),
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
    "fallbacks": group_lists,
    "context_window_fallbacks": group_lists,
    "content_policy_fallbacks": group_lists,
    "default_fallbacks": group_names,
    "model_group_alias": group_aliases,
}

ROUTER_SETTINGS: Table = {
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
    **accepted(
        """
        alerting_config allowed_fails_policy assistants_config cache_kwargs cache_responses caching_groups client_ttl
        debug_level default_litellm_params default_max_parallel_requests default_priority deployment_affinity_ttl
        deployment_affinity_ttl_seconds enable_health_check_routing enable_weighted_failover
        health_check_ignore_transient_errors health_check_staleness_threshold ignore_invalid_deployments
        max_parallel_requests model_group_affinity_config model_group_retry_policy
        model_list optional_pre_call_checks polling_interval provider_budget_config redis_db redis_host redis_password
        redis_port redis_ssl redis_url redis_username retry_policy router_general_settings routing_groups
        search_tools set_verbose tag_filtering_match_any
        """
    ),
}

CACHE_PARAMS: Table = {
    "type": choice(*CACHE_TYPES),
    "host": text,
    "port": count,
    "username": text,
    "password": secret,
    "url": secret,
    "ssl": flag,
    "db": count,
    "namespace": text,
    "ttl": seconds,
    "default_in_memory_ttl": seconds,
    "default_in_redis_ttl": seconds,
    "max_connections": count,
    "mode": choice("default_on", "default_off"),
    "supported_call_types": names,
    "similarity_threshold": share,
    "enabled": flag,  # cache_settings of a reference deployment
    **accepted(
        """
        azure_account_url azure_blob_container disk_cache_dir gcs_bucket_name gcs_path gcs_path_service_account
        gcp_service_account gcp_ssl_ca_certs max_messages qdrant_api_base qdrant_api_key qdrant_collection_name
        qdrant_quantization_config qdrant_semantic_cache_embedding_model qdrant_semantic_cache_vector_size
        redis_flush_size redis_semantic_cache_embedding_model redis_semantic_cache_index_name redis_startup_nodes
        redis_url s3_api_version s3_aws_access_key_id s3_aws_secret_access_key s3_aws_session_token
        s3_bucket_name s3_config s3_endpoint_url s3_path s3_region_name s3_use_ssl s3_verify sentinel_nodes
        sentinel_password service_name socket_connect_timeout socket_timeout ssl_ca_certs ssl_cert_reqs
        ssl_certfile ssl_check_hostname ssl_keyfile
        """
    ),
}

LITELLM_SETTINGS: Table = {
    **SHARED_ROUTER_SETTINGS,
    "request_timeout": timeout,
    "drop_params": flag,
    "modify_params": flag,
    "cache": flag,
    "set_verbose": flag,
    "json_logs": flag,
    "log_raw_request_response": flag,
    "allowed_origins": names,
    "max_budget": amount,
    "budget_duration": seconds,
    "rpm": count,
    "tpm": count,
    "max_parallel_requests": count,
    "global_max_parallel_requests": count,
    "max_user_budget": amount,
    "max_internal_user_budget": amount,
    "max_end_user_budget": amount,
    **accepted(
        """
        add_function_to_prompt add_user_information_to_llm_headers aiohttp_trust_env argilla_batch_size
        argilla_transformation_object audit_log_callbacks aws_sqs_callback_params banned_keywords_list
        blocked_user_list budget_alerts cache_params
        callbacks callback_settings cold_storage_custom_logger content_policy_fallbacks credential_list
        custom_prometheus_metadata_labels custom_prometheus_tags custom_provider_map datadog_llm_observability_params
        datadog_params default_internal_user_params default_key_generate_params default_max_internal_user_budget
        default_redis_batch_cache_expiry default_redis_ttl default_team_params default_team_settings
        default_in_memory_ttl default_user_params disable_add_prefix_to_prompt disable_add_transform_inline_image_block
        disable_add_user_agent_to_request_tags disable_aiohttp_transport disable_copilot_system_to_assistant
        disable_end_user_cost_tracking disable_end_user_cost_tracking_prometheus_only disable_hf_tokenizer_download
        disable_stop_sequence_limit disable_token_counter
        drop_unsupported_params email_logo_url enable_azure_ad_token_refresh enable_caching_on_provider_specific_optional_params
        enable_end_user_cost_tracking_prometheus_only enable_json_schema_validation enable_loadbalancing_on_batch_endpoints
        enable_preview_features enforced_params extra_spend_tag_headers failure_callback force_ipv4
        forward_client_headers_to_llm_api forward_llm_provider_auth_headers forward_traceparent_to_llm_provider
        gcs_pub_sub_use_v1 generic_api_compatible_callbacks generic_logger_headers guardrails include_cost_in_streaming_usage
        input_callback internal_user_budget_duration key_generation_settings langfuse_default_tags langsmith_batch_size
        llm_provider_list log_client_ip lowest_latency_buffer max_end_user_budget_id max_retries
        max_ui_session_budget mcp_aliases mcp_semantic_tool_filter model_alias_map model_cost_map_url
        model_fallbacks model_group_settings model_list modify_params network_mock newrelic_params
        num_retries_per_request organization otel post_call_rules pre_call_rules presidio_ad_hoc_recognizers
        priority_reservation priority_reservation_settings prometheus_emit_stream_label prometheus_initialize_budget_metrics
        prometheus_metrics_config prometheus_user_budget_label_include_email_and_alias public_agent_groups public_mcp_servers
        public_model_groups public_model_groups_links redact_messages_in_exceptions redact_user_api_key_info
        require_auth_for_metrics_endpoint responses_api_bridge_check retry route_all_chat_openai_to_responses
        s3_callback_params sagemaker_params secret_manager_client service_callback skip_system_message_in_guardrail
        ssl_certificate ssl_ecdh_curve ssl_security_level ssl_verify standard_logging_payload_excluded_fields store_audit_logs
        strict_mode success_callback suppress_debug_info tag_budget_config team_settings telemetry token_rate_limit_type
        turn_off_message_logging ui_theme_config upperbound_key_generate_params use_aiohttp_transport
        use_chat_completions_url_for_anthropic_messages use_client use_litellm_proxy user_url_validation
        vector_store_registry warn_ambiguous_models
        """
    ),
}

GENERAL_SETTINGS: Table = {
    "master_key": secret,
    "database_url": secret,
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
    **accepted(
        """
        admin_allowed_routes admin_only_routes alert_to_webhook_url alert_type_config alert_types alerting alerting_args
        allow_client_side_credentials allow_requests_on_db_unavailable allow_user_auth allowed_ips allowed_routes
        always_include_stream_usage auto_redirect_ui_login_to_sso background_health_checks budget_alert_ttl
        completion_model control_plane_url cors_allow_origins custom_auth custom_auth_run_common_checks custom_auth_settings
        custom_key_generate custom_key_update custom_sso custom_ui_sso_sign_in_handler
        dangerously_permit_weak_or_unset_master_key database_args database_connection_pool_limit database_connection_timeout
        database_extra_connection_params database_socket_timeout database_type default_end_user_params
        default_team_disabled disable_adding_master_key_hash_to_db disable_budget_reservation
        disable_error_logs disable_master_key_return disable_prisma_schema_update disable_reset_budget
        disable_responses_id_security disable_retry_on_max_parallel_request_limit_error disable_spend_logs
        disable_spend_updates embedding_model enable_health_check_routing enable_jwt_auth enable_oauth2_auth
        enable_oauth2_proxy_auth enable_public_model_hub enforce_user_param
        enforced_params failure_callback forward_client_headers_to_llm_api forward_openai_org_id
        global_max_parallel_requests google_kms health_check_concurrency health_check_details health_check_interval
        health_check_max_tokens health_check_model health_check_staleness_threshold http_proxy https_proxy
        image_generation_model infer_model_from_keys key_generation_settings
        key_management_settings key_management_system langfuse_host langfuse_public_key langfuse_secret_key
        litellm_jwtauth litellm_license litellm_salt_key maximum_spend_logs_cleanup_cron maximum_spend_logs_retention_interval
        maximum_spend_logs_retention_period mcp_client_side_auth_header_name mcp_internal_ip_ranges mcp_required_fields
        mcp_trusted_proxy_ranges moderation_model no_proxy oauth2_config_mappings openapi_servers
        otel pass_through_endpoints pass_through_request_timeout password_policy
        persist_ui_settings proxy_base_url proxy_batch_polling_interval proxy_batch_write_at
        proxy_budget_rescheduler_max_time proxy_budget_rescheduler_min_time proxy_config_refresh
        public_routes reject_clientside_metadata_tags require_end_user_mcp_access_defined role_permissions
        search_tools_allowed service_account_settings slack_msg_template slack_webhook_url spend_report_frequency
        sso_callback_url store_model_in_db store_prompts_in_spend_logs success_callback
        supported_db_objects token_rate_limit_type ui_access_mode ui_logo_path use_azure_key_vault
        use_chat_completions_url_for_anthropic_messages use_google_kms use_redis_transaction_buffer use_shared_health_check
        use_x_forwarded_for user_api_key_cache_ttl user_header_mappings user_header_name
        user_mcp_management_mode webhook_url
        """
    ),
}

LOGS: Table = {
    "level": text,
    "json": flag,
    **accepted("log_raw_request_response format file path rotation retention"),
}

COMPRESSION_SETTINGS: Table = {  # ours
    "enabled": flag,
    "compressor": text,
    "target_ratio": share,
    "rag_target_ratio": share,
    "min_tokens": count,
    "models": names,
}

LOAD_BALANCING_SETTINGS: Table = {
    "enable": flag,
    "enabled": flag,
    "routing_algorithm": choice(*ROUTING_STRATEGIES),
    **accepted("health_check_interval"),
}

BUDGETS: Table = {
    "max_budget": amount,
    "budget_duration": seconds,
    "soft_budget_limit": amount,
    "soft_budget": amount,
    **accepted("enabled alerts alerting"),
}

RATE_LIMIT: Table = {
    "rpm": count,
    "tpm": count,
    "max_parallel_requests": count,
    **accepted("enabled"),
}

HEALTH_CHECK: Table = {
    "enabled": flag,
    "port": count,
    "endpoint": text,
    "interval": seconds,
    "timeout": timeout,
}

PROMETHEUS: Table = {"enabled": flag, "port": count, "endpoint": text}

MODEL_GROUP: Table = {"group_name": text, "models": listing, **accepted("description routing_strategy")}

MODEL_GROUP_MEMBER: Table = {"model_name": text, "weight": amount}
