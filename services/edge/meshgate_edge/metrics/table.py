"""Every metric family about calls: its name, its labels, what it sums, and of which calls. Data.

Names and labels are LiteLLM's (the 1.81 line) and those that the dashboards of its users ask for. `twin`: the
family is also exposed without the suffix `_total`, for dashboards that were written so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from meshgate_edge.metrics.totals import Distribution, Totals

Which = Literal[
    "all", "billed", "success", "failure", "cache_hit", "cache_miss", "authenticated", "no_key", "limited"
]


@dataclass(frozen=True, slots=True)
class CounterFamily:
    """`name`: without `_total`. `public`: its label `model` is the public name of the request, not the model
    at the provider. `fixed`: labels that are the same for every call."""

    name: str
    help: str
    labels: tuple[str, ...]
    value: Callable[[Totals], float]
    which: Which
    twin: bool = False
    public: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistogramFamily:
    """As CounterFamily, of a distribution."""

    name: str
    help: str
    labels: tuple[str, ...]
    value: Callable[[Totals], Distribution]
    which: Which
    public: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)


Family = CounterFamily | HistogramFamily

KEY: Final = ("hashed_api_key", "api_key_alias")
TEAM: Final = ("team", "team_alias")
DEPLOYMENT: Final = ("litellm_model_name", "model_id", "api_base", "api_provider")
CALLER: Final = ("end_user", *KEY, "requested_model", *TEAM, "user", "user_email")
REQUESTS: Final = (*CALLER, "status_code", "route")
FAILED: Final = (*CALLER, "exception_status", "exception_class", "route")
SPEND: Final = ("end_user", *KEY, "model", *TEAM, "user", "user_email")
TOKENS: Final = (*SPEND, "requested_model")
CACHE: Final = ("model", *KEY, *TEAM, "end_user", "user")
LATENCY: Final = ("end_user", *KEY, "requested_model", *TEAM, "user", "model")
SERVED: Final = ("requested_model", *DEPLOYMENT, *KEY, *TEAM)
NOT_SERVED: Final = ("requested_model", *DEPLOYMENT, "exception_status", "exception_class", *KEY, *TEAM)
OVERHEAD: Final = ("model_group", "api_provider", "api_base", "litellm_model_name", *KEY)
MODEL: Final = ("model",)


def calls(totals: Totals) -> float:
    return totals.calls


def cost_usd(totals: Totals) -> float:
    return totals.cost_usd


def prompt_tokens(totals: Totals) -> float:
    return totals.prompt_tokens


def completion_tokens(totals: Totals) -> float:
    return totals.completion_tokens


def total_tokens(totals: Totals) -> float:
    return totals.total_tokens


LITELLM_COUNTERS: Final = (
    CounterFamily("litellm_proxy_total_requests_metric", "Requests", REQUESTS, calls, "all", twin=True),
    CounterFamily("litellm_proxy_failed_requests_metric", "Failures", FAILED, calls, "failure", twin=True),
    CounterFamily("litellm_requests_metric", "Answered requests", SPEND, calls, "success", twin=True),
    CounterFamily("litellm_spend_metric", "Spend in USD", SPEND, cost_usd, "billed", twin=True),
    CounterFamily("litellm_total_tokens_metric", "Tokens", TOKENS, total_tokens, "billed", twin=True),
    CounterFamily("litellm_input_tokens_metric", "Prompt tokens", TOKENS, prompt_tokens, "billed", twin=True),
    CounterFamily(
        "litellm_output_tokens_metric", "Answer tokens", TOKENS, completion_tokens, "billed", twin=True
    ),
    CounterFamily("litellm_deployment_success_responses", "Answers", SERVED, calls, "cache_miss", twin=True),
    CounterFamily(
        "litellm_deployment_failure_responses", "Failures", NOT_SERVED, calls, "failure", twin=True
    ),
    CounterFamily("litellm_deployment_total_requests", "Calls", SERVED, calls, "billed", twin=True),
    CounterFamily("litellm_cache_hits_metric", "Answers from the cache", CACHE, calls, "cache_hit"),
    CounterFamily("litellm_cache_misses_metric", "Answers from providers", CACHE, calls, "cache_miss"),
    CounterFamily("litellm_cached_tokens_metric", "Tokens from the cache", CACHE, total_tokens, "cache_hit"),
)

LITELLM_HISTOGRAMS: Final = (
    HistogramFamily(
        "litellm_request_total_latency_metric",
        "Whole requests, s",
        LATENCY,
        lambda totals: totals.duration_s,
        "success",
    ),
    HistogramFamily(
        "litellm_llm_api_latency_metric",
        "Provider calls, s",
        LATENCY,
        lambda totals: totals.provider_s,
        "success",
    ),
    HistogramFamily(
        "litellm_llm_api_time_to_first_token_metric",
        "Time to the first token of a stream, s",
        ("model", *KEY, *TEAM),
        lambda totals: totals.first_token_s,
        "success",
    ),
    # In seconds, as LiteLLM has it although its help text says milliseconds.
    HistogramFamily(
        "litellm_overhead_latency_metric",
        "Our part, s",
        OVERHEAD,
        lambda totals: totals.overhead_s,
        "success",
    ),
    HistogramFamily(
        "litellm_deployment_latency_per_output_token",
        "Provider time for each answer token, s",
        (*DEPLOYMENT, *KEY, *TEAM),
        lambda totals: totals.per_output_token_s,
        "cache_miss",
    ),
)

# Names that dashboards and documents of LiteLLM's users ask for, which LiteLLM itself does not have.
USERS_COUNTERS: Final = (
    CounterFamily("litellm_requests", "Requests", ("model", "status"), calls, "all", public=True),
    CounterFamily(
        "litellm_tokens",
        "Tokens",
        ("model", "type"),
        prompt_tokens,
        "all",
        public=True,
        fixed={"type": "input"},
    ),
    CounterFamily(
        "litellm_tokens",
        "Tokens",
        ("model", "type"),
        completion_tokens,
        "all",
        public=True,
        fixed={"type": "output"},
    ),
    CounterFamily("litellm_cost_usd", "Spend in USD", MODEL, cost_usd, "all", twin=True, public=True),
    CounterFamily("litellm_spend", "Spend in USD", MODEL, cost_usd, "all", public=True),
    CounterFamily("litellm_cache_hit", "Answers from the cache", (), calls, "cache_hit"),
    CounterFamily("litellm_cache_miss", "Answers from providers", (), calls, "cache_miss"),
    CounterFamily(
        "litellm_compression_requests", "Compressed", (), lambda totals: totals.compressed_calls, "all"
    ),
    CounterFamily(
        "litellm_compression_original_tokens", "Before", (), lambda totals: totals.original_tokens, "all"
    ),
    CounterFamily(
        "litellm_compression_compressed_tokens", "After", (), lambda totals: totals.compressed_tokens, "all"
    ),
    CounterFamily("litellm_model_requests", "Requests", MODEL, calls, "all", public=True),
    CounterFamily("litellm_model_errors", "Failures", MODEL, calls, "failure", public=True),
    CounterFamily("litellm_model_cost_usd", "Spend in USD", MODEL, cost_usd, "all", public=True),
    CounterFamily("litellm_model_tokens", "Tokens", MODEL, total_tokens, "all", public=True),
    CounterFamily("litellm_model_cache_hits", "From the cache", MODEL, calls, "cache_hit", public=True),
    CounterFamily("litellm_model_cache_misses", "From providers", MODEL, calls, "cache_miss", public=True),
    CounterFamily("litellm_rate_limit_exceeded", "Refused by a limit", MODEL, calls, "limited", public=True),
    CounterFamily("litellm_throttled_requests", "Refused by a limit", (), calls, "limited"),
    CounterFamily("litellm_auth_successful", "With a valid credential", (), calls, "authenticated"),
    CounterFamily("litellm_auth_failed", "Without a valid credential", (), calls, "no_key"),
    CounterFamily("litellm_invalid_api_key", "Without a valid credential", (), calls, "no_key"),
)

USERS_HISTOGRAMS: Final = (
    HistogramFamily(
        "litellm_request_duration_seconds",
        "Whole requests",
        MODEL,
        lambda totals: totals.duration_s,
        "all",
        public=True,
    ),
    HistogramFamily(
        "litellm_model_latency_seconds",
        "Provider calls",
        MODEL,
        lambda totals: totals.provider_s,
        "success",
        public=True,
    ),
    HistogramFamily(
        "litellm_compression_savings_percent",
        "Prompt tokens saved, of a hundred",
        (),
        lambda totals: totals.saved_percent,
        "all",
    ),
    HistogramFamily(
        "litellm_compression_latency_seconds",
        "Compression, the way to the service included",
        (),
        lambda totals: totals.compression_s,
        "all",
    ),
)

COUNTERS: Final = (*LITELLM_COUNTERS, *USERS_COUNTERS)
HISTOGRAMS: Final = (*LITELLM_HISTOGRAMS, *USERS_HISTOGRAMS)
