"""Keys of config.yaml that are known, but not acted on: they may be anything, and nobody is warned.

Names only, sorted; `name_*` stands for every key that begins so. They are what LiteLLM 1.81 to 1.109 reads,
and what the reference deployments use. A key that meshgate begins to act on moves to `known_keys.py`.
"""


def words(text: str) -> tuple[str, ...]:
    """One name per word."""
    return tuple(text.split())


SECTIONS = words(
    """
    agent_list agents assistant_settings budgets cache_settings callback_settings
    compression_settings credential_list default_vertex_config environment_variables files_settings
    finetune_settings general_settings guardrails health_check litellm_settings load_balancing_settings
    logs mcp_servers mcp_tools model_groups pass_through_endpoints plugins policies policy_attachments
    prometheus prompts rate_limit router_settings sandbox_tools search_tools vector_store_registry
    worker_registry
    """
)

LITELLM_PARAMS = words(
    """
    access_windows adaptive_router_* allow_client_keepalive_override allow_fail_open annotation_cost_per_*
    anthropic_* auto_router_* aws_* azure_* base_model bedrock_* bucket_name
    cache_control_injection_points cache_creation_input_* cache_creation_input_token_cost_above_1hr
    cache_read_input_* chatgpt_auth_file citation_cost_per_token client_id client_secret
    complexity_router_* configurable_clientside_auth_params cost_per_ptu_per_hour cost_per_second
    daily_reset_time default_api_key_rpm_limit default_api_key_tpm_limit discoverable embedding_model
    enable_json_schema_validation enable_tag_filtering enforce_supported_endpoints fallbacks
    fireworks_forward_user_id gcs_* google_maps_grounding_cost_per_query guardrails hf_model_name
    index_name input_cost_per_audio_* input_cost_per_audio_token_* input_cost_per_character
    input_cost_per_character_* input_cost_per_image input_cost_per_image_* input_cost_per_pixel
    input_cost_per_pixel_* input_cost_per_query_* input_cost_per_second input_cost_per_second_*
    input_cost_per_text_message input_cost_per_token_* input_cost_per_token_above_200k_tokens_priority
    input_cost_per_video_* internal_router_model keepalive_seconds kubernetes_pod_discovery
    litellm_credential_name litellm_system_prompt litellm_trace_id max_embedding_batch_size
    max_file_size_mb member_auto_router merge_reasoning_content_in_choices milvus_* mock_response
    model_config model_info ocr_cost_per_* openai_* output_cost_per_audio_* output_cost_per_character
    output_cost_per_character_* output_cost_per_image output_cost_per_image_* output_cost_per_pixel
    output_cost_per_pixel_* output_cost_per_reasoning_* output_cost_per_reasoning_token_*
    output_cost_per_second output_cost_per_second_* output_cost_per_token_* output_cost_per_video_*
    output_vector_size pricing_provider prompt_id prompt_variables prompt_version provider_affinity_header
    ptu_count ptu_effective_from ptu_effective_to ptu_shares quality_router_* region_name
    regional_endpoint_uplift_multiplier regional_processing_uplift_multiplier_eu
    regional_processing_uplift_multiplier_us responses_api_version s3_* search_context_cost_per_query
    search_queries_cost_per_query ssl_certificate ssl_verify stream_response
    stream_timeout_by_service_tier tag_regex tenant_id thought_signature_in_tool_call_id
    timeout_by_service_tier token_exchange_* use_chat_completions_api use_in_pass_through
    use_litellm_proxy use_xai_oauth valkey_* vector_bucket_name vector_store_id vertex_* watsonx_*
    """
)

REQUEST_PARAMS = words(
    """
    audio cache_control chat_template_kwargs encoding_format format function_call functions guided_choice
    guided_grammar guided_json guided_regex input_type keep_alive logit_bias metadata modalities num_ctx
    num_predict options prediction prompt_cache_key reasoning reasoning_effort repeat_penalty
    response_format safetySettings safety_identifier safety_settings service_tier stop store stream
    stream_options suffix system think thinking tool_choice tools truncation user verbosity voice
    web_search_options
    """
)

ROUTER_SETTINGS = words(
    """
    alerting_config assistants_config background_health_check_model_groups
    cache_kwargs cache_responses caching_groups client_ttl debug_level
    default_priority deployment_affinity_* enable_health_check_routing
    enable_weighted_failover fallback_on_unsupported_params
    health_check_* ignore_invalid_deployments max_parallel_requests model_group_affinity_config
    model_list optional_pre_call_checks plugins polling_interval
    provider_budget_config redis_* router_general_settings routing_groups search_tools
    session_affinity_repin_on_failover set_verbose tag_routing_prefix
    """
)

CACHE_PARAMS = words(
    """
    azure_* disk_* gcp_* gcs_* max_messages qdrant_* redis_flush_size redis_semantic_*
    redis_url s3_* semantic_cache_* sentinel_* service_name socket_connect_timeout socket_timeout ssl_*
    valkey_*
    """
)

LITELLM_SETTINGS = words(
    """
    add_function_to_prompt add_user_information_to_llm_headers agent_search_embedding_model ai21_key
    aiohttp_trust_env aleph_alpha_key allow_dynamic_callback_disabling amazon_nova_api_key
    anthropic_beta_headers_url anthropic_key anthropic_messages_estimate_initial_input_tokens
    anthropic_prompt_caching_ttl anthropic_sse_ping_interval_seconds api_base api_key api_version
    apply_search_free_tier argilla_* audit_log_callbacks autorouter_presets_url aws_sqs_callback_params
    azure_key banned_keywords_list baseten_key batch_line_item_callbacks
    bedrock_neutralize_orphaned_tool_blocks bedrock_request_metadata_fields
    blog_posts_url budget_alerts
    budget_exceeded_status_code budget_exceeded_throttle_percentage budget_reset_time budget_rollover
    bytez_key cache_params callback_settings callbacks check_provider_endpoint clarifai_key
    cloudflare_api_key cohere_key cold_storage_custom_logger cometapi_key cost_discount_config
    cost_margin_config credential_list custom_prometheus_metadata_labels custom_prometheus_tags
    custom_provider_map databricks_key datadog_* datarobot_key default_in_memory_ttl
    default_key_max_budget_alert_emails
    default_redis_batch_cache_expiry default_redis_ttl
    default_team_settings disable_add_prefix_to_prompt
    disable_add_transform_inline_image_block disable_add_user_agent_to_request_tags
    disable_aiohttp_transport disable_aiohttp_trust_env disable_anthropic_gemini_context_caching_transform
    disable_copilot_system_to_assistant disable_end_user_cost_tracking
    disable_end_user_cost_tracking_prometheus_only disable_hf_tokenizer_download
    disable_stop_sequence_limit disable_streaming_logging disable_token_counter
    disable_vertex_batch_output_transformation dynamodb_table_name email_logo_url
    enable_anthropic_prompt_caching enable_azure_ad_token_refresh
    enable_caching_on_provider_specific_optional_params enable_end_user_cost_tracking_prometheus_only
    enable_gemini_default_thinking_level_low enable_json_schema_validation
    enable_key_alias_format_validation enable_loadbalancing_on_batch_endpoints
    enable_model_config_credential_overrides enable_preview_features enable_redis_auth_cache
    expose_router_debug_in_errors extra_spend_tag_headers failure_callback
    filter_invalid_headers force_ipv4 force_redis_hash_tag_grouping forward_client_headers_to_llm_api
    forward_llm_provider_auth_headers forward_traceparent_to_llm_provider gcs_* gdc_api_base gdc_key
    gemini_include_thoughts_default gemini_live_defer_setup generic_* gigachat_key global_bitbucket_config
    global_disable_no_log_param global_gitlab_config global_prompt_directory
    google_moderation_confidence_threshold gradient_ai_api_key groq_key guardrail_name_config_map
    guardrails headers heroku_key http2 huggingface_key inception_key include_cost_in_streaming_usage
    infinity_key input_callback key_alias_pattern
    langfuse_* langsmith_* lemonade_key llama_api_key llamaguard_* llm_guard_mode
    log_auth_failure_key_identity log_client_error_tracebacks logged_real_time_event_types
    longer_context_model_fallback_dict lowest_latency_buffer maritalk_key
    max_fallbacks max_retries max_tokens max_ui_session_budget mcp_* model_alias_map model_cost_map_url
    model_fallbacks model_group_settings model_list nebius_key network_mock newrelic_params nlp_cloud_key
    novita_api_key num_retries_per_request ollama_key openai_key openai_like_key
    openai_moderations_model_name openai_system_messages_first openrouter_key organization otel
    otel_tenant_destination_mode output_parse_pii overwrite_user_with_key_hash ovhcloud_key
    personal_key_model_access_from_teams pointfive_params post_call_rules pre_call_rules predibase_key
    predibase_tenant_id presidio_ad_hoc_recognizers priority_reservation priority_reservation_settings
    prometheus_* prompt_name_config_map provider_url_destination_allowed_hosts proxy_auth
    public_agent_groups public_mcp_hub_strict_whitelist public_mcp_servers public_model_groups
    public_model_groups_links public_skills_index reasoning_auto_summary reasoning_effort_rounding
    redact_messages_in_exceptions redact_user_api_key_info replicate_key request_correlation_in_logs
    require_managed_files retry return_response_headers
    route_all_chat_openai_to_responses s3_* safe_memory_mode sap_service_key secret_manager_client
    service_callback skill_search_embedding_model skip_system_message_in_guardrail
    skip_tool_message_in_guardrail snowflake_key sse_keepalive_ping_interval_seconds ssl_certificate
    ssl_ecdh_curve ssl_security_level ssl_verify standard_logging_payload_excluded_fields store_audit_logs
    strip_anthropic_total_tokens success_callback suppress_debug_info suppress_startup_output
    team_settings telemetry togetherai_api_key token_rate_limit_type
    turn_off_message_logging ui_theme_config use_aiohttp_transport
    use_chat_completions_url_for_anthropic_messages use_litellm_proxy user_url_allowed_hosts
    user_url_validation validate_end_user_id_in_db vector_store_index_registry vector_store_registry
    vector_store_search_failure_mode vercel_ai_gateway_key vertex_* wandb_key
    websearch_interception_params xai_key zerobus_params
    """
)

GENERAL_SETTINGS = words(
    """
    accounting_* admin_allowed_routes admin_only_routes admission_queue_timeout_seconds
    agent_access_default_deny alert_to_webhook_url alert_type_config alert_types alerting alerting_args
    allow_cli_sso_verification_uri_complete allow_client_side_credentials
    allow_public_health_readiness_details allow_unmanaged_response_ids
    allow_user_auth allowed_file_extensions allowed_routes always_include_stream_usage
    apply_user_budget_to_team_keys auto_redirect_ui_login_to_sso background_health_check_model_groups
    background_health_checks blocked_file_extensions budget_alert_ttl cancel_on_disconnect
    claude_code_gateway_managed_settings claude_code_marketplace_auth_required completion_model
    control_plane_url coordination_redis custom_auth custom_auth_run_common_checks custom_key_generate
    custom_key_policy custom_key_update custom_sso custom_team_metadata_validate
    custom_ui_sso_sign_in_handler dangerously_permit_weak_or_unset_master_key database_*
    default_team_disabled disable_auto_add_proxy_admin_to_teams disable_batch_input_file_rate_limiting
    disable_bedrock_agent_runtime_passthrough disable_budget_reservation disable_custom_api_keys
    disable_env_credential_login disable_error_logs disable_fallbacks_on_per_model_rate_limits
    disable_key_generate_for_org_admin disable_master_key_return disable_model_info_refresh
    disable_password_login_when_sso_enabled disable_prisma_schema_update
    disable_requester_ip_address_logging disable_reset_budget disable_responses_id_security
    disable_retry_on_max_parallel_request_limit_error disable_spend_logs disable_spend_updates
    drain_endpoint_token embedding_model enable_claude_code_gateway enable_drain_endpoint
    enable_health_check_routing enable_jwt_auth enable_mcp_registry enable_oauth2_auth
    enable_oauth2_proxy_auth enable_openai_websocket_passthrough enable_public_model_hub
    enforce_fallback_model_access enforce_rbac
    expose_fallback_errors_to_caller fail_closed_budget_enforcement fail_closed_rate_limit_enforcement
    failed_login_* failure_callback forward_client_headers_to_llm_api forward_llm_provider_auth_headers
    forward_openai_org_id google_kms health_check_* hide_default_credentials_hint http_proxy https_proxy
    image_generation_model include_call_id_in_error_body infer_model_from_keys
    key_management_settings key_management_system langfuse_* litellm_jwtauth
    litellm_license litellm_salt_key max_batch_file_records max_batch_file_size_mb
    max_batch_file_uploads_per_day max_failed_login_* max_file_downloads_per_minute max_file_size_mb
    max_in_flight_requests_per_worker max_queued_requests_per_worker maximum_* mcp_* missing_session_id
    moderation_model no_proxy oauth2_config_mappings otel pass_through_endpoints
    pass_through_request_timeout passthrough_managed_object_ids password_policy password_policy_* plugins
    provider_url_destination_allowed_hosts proxy_* public_routes reject_clientside_metadata_tags
    request_tag_mappings require_end_user_mcp_access_defined require_key_mcp_access_defined
    responses_websocket_session_limit_seconds return_wildcard_routes role_permissions
    scheduled_job_stagger search_tool_deny_by_default search_tools self_serve_budget_policy
    service_account_settings skip_batch_input_file_rate_limiting_for_models
    skip_batch_input_file_rate_limiting_for_providers slack slack_webhook_url spend_capture_rate_check
    spend_logs_metadata_fields spend_report_frequency store_model_in_db store_prompts_in_spend_logs
    success_callback supported_db_objects team_metadata_* token_rate_limit_type tracing
    track_unmanaged_batch_cost transcribe_media_buckets trusted_proxy_ranges ui_access_mode
    use_azure_key_vault use_chat_completions_url_for_anthropic_messages use_google_kms
    use_redis_transaction_buffer use_shared_health_check use_spend_logs_partitioning
    use_team_public_model_name user_api_key_cache_max_size user_api_key_cache_ttl
    user_header_mappings user_header_name user_mcp_management_mode user_url_allowed_hosts
    user_url_validation vector_store_deny_by_default vertex_ai_pass_through_drop_anthropic_betas
    webhook_url
    """
)
