"""Every metric family about calls: its name, its labels, what adds to it, and when. Data, and pure.

Names and labels are LiteLLM's (the 1.81 line) and those that the dashboards of its users ask for. `twin`: the
family is also exposed without the suffix `_total`, for dashboards that were written so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from meshgate_edge.call import CallInfo

Amount = Callable[[CallInfo], float | None]  # None: nothing to observe for this call
When = Literal[
    "always", "billed", "success", "failure", "cache_hit", "cache_miss", "authenticated", "refused_key"
]

SHORT_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
LATENCY_BUCKETS_S: Final = (*SHORT_S, 30.0, 60.0, 120.0, 300.0, 420.0, 600.0)
PERCENT_BUCKETS: Final = (5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0)

KEY: Final = ("hashed_api_key", "api_key_alias")
TEAM: Final = ("team", "team_alias")
DEPLOYMENT: Final = ("litellm_model_name", "model_id", "api_base", "api_provider")
TOKENS: Final = ("end_user", *KEY, "model", *TEAM, "user", "user_email", "requested_model")
SPEND: Final = ("end_user", *KEY, "model", *TEAM, "user", "user_email")
CACHE: Final = ("model", *KEY, *TEAM, "end_user", "user")
LATENCY: Final = ("end_user", *KEY, "requested_model", *TEAM, "user", "model")


@dataclass(frozen=True, slots=True)
class Family:
    """`name`: without `_total`. `fixed`: labels with the same value for every call.

    `public`: its label `model` is the public name of the request, not the model at the provider.
    """

    name: str
    kind: Literal["counter", "histogram"]
    help: str
    labels: tuple[str, ...]
    amount: Amount
    when: When
    twin: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = LATENCY_BUCKETS_S
    public: bool = False


def one(_info: CallInfo) -> float:
    """Counts calls."""
    return 1.0


def cost_usd(info: CallInfo) -> float | None:
    """What the call cost, once that is known."""
    return info.cost_usd_nanos / 1e9 if info.cost_usd_nanos else None


def prompt_tokens(info: CallInfo) -> float | None:
    return info.prompt_tokens or None


def completion_tokens(info: CallInfo) -> float | None:
    return info.completion_tokens or None


def total_tokens(info: CallInfo) -> float | None:
    return info.prompt_tokens + info.completion_tokens or None


def duration_s(info: CallInfo) -> float:
    return info.duration_s


def provider_s(info: CallInfo) -> float | None:
    return info.provider_duration_s or None


def overhead_s(info: CallInfo) -> float | None:
    """In seconds, as LiteLLM has it although its help text says milliseconds."""
    return max(0.0, info.duration_s - info.provider_duration_s) if info.provider_duration_s else None


def first_token_s(info: CallInfo) -> float | None:
    return info.first_token_s


def per_output_token_s(info: CallInfo) -> float | None:
    if not info.provider_duration_s or not info.completion_tokens:
        return None
    return info.provider_duration_s / info.completion_tokens


def compressed(info: CallInfo) -> float | None:
    return None if info.original_prompt_tokens is None else 1.0


def original_tokens(info: CallInfo) -> float | None:
    return info.original_prompt_tokens


def compressed_tokens(info: CallInfo) -> float | None:
    return info.compressed_prompt_tokens


def saved_percent(info: CallInfo) -> float | None:
    if not info.original_prompt_tokens or info.compressed_prompt_tokens is None:
        return None
    return 100.0 * (1 - info.compressed_prompt_tokens / info.original_prompt_tokens)


def _counter(
    name: str, text: str, labels: tuple[str, ...], amount: Amount, when: When, *, twin: bool = False
) -> Family:
    return Family(name, "counter", text, labels, amount, when, twin)


def _histogram(name: str, text: str, labels: tuple[str, ...], amount: Amount, when: When) -> Family:
    return Family(name, "histogram", text, labels, amount, when)


_CALLER: Final = ("end_user", *KEY, "requested_model", *TEAM, "user", "user_email")
_REQUESTS: Final = (*_CALLER, "status_code", "route")
_FAILED: Final = (*_CALLER, "exception_status", "exception_class", "route")
_SERVED: Final = ("requested_model", *DEPLOYMENT, *KEY, *TEAM)
_NOT_SERVED: Final = ("requested_model", *DEPLOYMENT, "exception_status", "exception_class", *KEY, *TEAM)
_OVERHEAD: Final = ("model_group", "api_provider", "api_base", "litellm_model_name", *KEY)
_UPSTREAM: Final = ("model", *KEY, *TEAM, "requested_model", "end_user", "user")

LITELLM_FAMILIES: Final = (
    _counter("litellm_proxy_total_requests_metric", "Requests", _REQUESTS, one, "always", twin=True),
    _counter("litellm_proxy_failed_requests_metric", "Failed requests", _FAILED, one, "failure", twin=True),
    _counter("litellm_requests_metric", "Requests that were answered", SPEND, one, "success", twin=True),
    _counter("litellm_spend_metric", "Spend in USD", SPEND, cost_usd, "billed", twin=True),
    _counter("litellm_total_tokens_metric", "Tokens", TOKENS, total_tokens, "billed", twin=True),
    _counter("litellm_input_tokens_metric", "Prompt tokens", TOKENS, prompt_tokens, "billed", twin=True),
    _counter("litellm_output_tokens_metric", "Answer tokens", TOKENS, completion_tokens, "billed", twin=True),
    _histogram("litellm_request_total_latency_metric", "Whole requests, s", LATENCY, duration_s, "success"),
    _histogram("litellm_llm_api_latency_metric", "Provider calls, s", _UPSTREAM, provider_s, "success"),
    _histogram(
        "litellm_llm_api_time_to_first_token_metric",
        "Time to the first token of a stream, s",
        ("model", *KEY, *TEAM),
        first_token_s,
        "success",
    ),
    _histogram("litellm_overhead_latency_metric", "The gateway's part, s", _OVERHEAD, overhead_s, "success"),
    _counter(
        "litellm_deployment_success_responses",
        "Answers of deployments",
        _SERVED,
        one,
        "cache_miss",
        twin=True,
    ),
    _counter(
        "litellm_deployment_failure_responses",
        "Failures of deployments",
        _NOT_SERVED,
        one,
        "failure",
        twin=True,
    ),
    _counter("litellm_deployment_total_requests", "Calls of deployments", _SERVED, one, "billed", twin=True),
    _histogram(
        "litellm_deployment_latency_per_output_token",
        "Provider time for each answer token, s",
        (*DEPLOYMENT, *KEY, *TEAM),
        per_output_token_s,
        "cache_miss",
    ),
    _counter("litellm_cache_hits_metric", "Answers from the cache", CACHE, one, "cache_hit"),
    _counter("litellm_cache_misses_metric", "Answers from providers", CACHE, one, "cache_miss"),
    _counter(
        "litellm_cached_tokens_metric", "Tokens answered from the cache", CACHE, total_tokens, "cache_hit"
    ),
)

_MODEL: Final = ("model",)

# Names that dashboards and documents of LiteLLM's users ask for, which LiteLLM itself does not have.
_OTHER: Final = (
    _counter("litellm_requests", "Requests", ("model", "status"), one, "always"),
    _histogram("litellm_request_duration_seconds", "Whole requests", _MODEL, duration_s, "always"),
    Family(
        "litellm_tokens",
        "counter",
        "Tokens",
        ("model", "type"),
        prompt_tokens,
        "always",
        fixed={"type": "input"},
    ),
    Family(
        "litellm_tokens",
        "counter",
        "Tokens",
        ("model", "type"),
        completion_tokens,
        "always",
        fixed={"type": "output"},
    ),
    _counter("litellm_cost_usd", "Spend in USD", _MODEL, cost_usd, "always", twin=True),
    _counter("litellm_spend", "Spend in USD", _MODEL, cost_usd, "always"),
    _counter("litellm_cache_hit", "Answers from the cache", (), one, "cache_hit"),
    _counter("litellm_cache_miss", "Answers from providers", (), one, "cache_miss"),
    _counter("litellm_compression_requests", "Requests that were compressed", (), compressed, "always"),
    Family(
        "litellm_compression_savings_percent",
        "histogram",
        "Prompt tokens saved, of a hundred",
        (),
        saved_percent,
        "always",
        buckets=PERCENT_BUCKETS,
    ),
    _counter("litellm_compression_original_tokens", "Before compression", (), original_tokens, "always"),
    _counter("litellm_compression_compressed_tokens", "After compression", (), compressed_tokens, "always"),
    _counter("litellm_model_requests", "Requests", _MODEL, one, "always"),
    _counter("litellm_model_errors", "Failed requests", _MODEL, one, "failure"),
    _histogram("litellm_model_latency_seconds", "Provider calls", _MODEL, provider_s, "success"),
    _counter("litellm_model_cost_usd", "Spend in USD", _MODEL, cost_usd, "always"),
    _counter("litellm_model_tokens", "Tokens", _MODEL, total_tokens, "always"),
    _counter("litellm_model_cache_hits", "Answers from the cache", _MODEL, one, "cache_hit"),
    _counter("litellm_model_cache_misses", "Answers from providers", _MODEL, one, "cache_miss"),
    _counter("litellm_auth_successful", "Requests with a valid credential", (), one, "authenticated"),
    _counter("litellm_auth_failed", "Requests without a valid credential", (), one, "refused_key"),
    _counter("litellm_invalid_api_key", "Requests without a valid credential", (), one, "refused_key"),
)

FAMILIES: Final = (*LITELLM_FAMILIES, *(replace(family, public=True) for family in _OTHER))
