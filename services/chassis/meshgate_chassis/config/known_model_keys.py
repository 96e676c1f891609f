"""The keys of model_list that are checked, and what each may be; see known_keys.py. Plain data."""

from meshgate_chassis.config import accepted_keys
from meshgate_chassis.config.kinds import (
    amount,
    count,
    flag,
    headers,
    json_object,
    mapping,
    name_list,
    names,
    number,
    price,
    seconds,
    secret,
    text,
    time_zone,
    timeout,
    url,
)
from meshgate_chassis.config.schema import Table, accepted

MODEL_ENTRY: Table = {"model_name": text, "litellm_params": mapping, "model_info": mapping}

PRICES: Table = {
    "input_cost_per_token": price,
    "output_cost_per_token": price,
    "cache_read_input_token_cost": price,
    "cache_creation_input_token_cost": price,
    "output_cost_per_reasoning_token": price,
    "input_cost_per_audio_token": price,
    "output_cost_per_audio_token": price,
    "input_cost_per_request": price,
    "input_cost_per_query": price,
    # Of these only those of whole thousands of prompt tokens are charged (config/sections/prices.py).
    "input_cost_per_token_above_*": price,
    "output_cost_per_token_above_*": price,
    "cache_read_input_token_cost_above_*": price,
    "cache_creation_input_token_cost_above_*": price,
}

STAGE_TIMEOUTS: Table = {  # ours
    "connect_timeout": timeout,
    "first_token_timeout": timeout,
    "between_tokens_timeout": timeout,
    "total_timeout": timeout,
}

# Members of litellm_params that the gateway takes for itself.
DEPLOYMENT_PARAMS: Table = {
    **accepted(accepted_keys.LITELLM_PARAMS),
    **PRICES,
    **STAGE_TIMEOUTS,
    "model": text,
    "api_key": secret,
    "api_base": url,
    "base_url": url,
    "organization": text,
    "api_version": text,
    "azure_ad_token": secret,
    "custom_llm_provider": text,
    "rpm": count,
    "rpd": count,
    "tpm": count,
    "tpd": count,
    "itpm": count,
    "otpm": count,
    "quota_time_zone": time_zone,  # ours
    "weight": amount,
    "order": number,
    "tags": name_list,
    "blocked": flag,
    "max_parallel_requests": count,
    "max_retries": count,
    "num_retries": count,
    "retry_policy": mapping,
    "allowed_fails": count,
    "allowed_fails_policy": mapping,
    "cooldown_time": seconds,
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
    "allowed_fails": count,
    "cooldown_time": seconds,
}
