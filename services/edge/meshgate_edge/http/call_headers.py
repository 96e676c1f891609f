"""What happened to a call, as LiteLLM's response headers. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from meshgate_edge.call import CallInfo
from meshgate_edge.http.messages import CALL_ID_HEADER, VERSION_HEADER, Header
from meshgate_edge.money.rate_limits import limit_headers

PROVIDER_PREFIX: Final = b"llm_provider-"
RATE_LIMITS: Final = {
    "x-ratelimit-limit-requests": b"x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests": b"x-ratelimit-remaining-requests",
    "x-ratelimit-limit-tokens": b"x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens": b"x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-requests-limit": b"x-ratelimit-limit-requests",
    "anthropic-ratelimit-requests-remaining": b"x-ratelimit-remaining-requests",
    "anthropic-ratelimit-tokens-limit": b"x-ratelimit-limit-tokens",
    "anthropic-ratelimit-tokens-remaining": b"x-ratelimit-remaining-tokens",
}
_NOT_IN_VALUES: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")


def usd(nanos: int) -> float:
    """Nano-USD as the float that clients expect; the nearest one."""
    return nanos / 1e9


def error_headers(call_id: str, version: str) -> list[Header]:
    """For an answer about which nothing else is known."""
    return [(CALL_ID_HEADER, call_id.encode()), (VERSION_HEADER, version.encode())]


def call_headers(info: CallInfo, version: str) -> list[Header]:
    """Of an answer that has begun; costs and durations only when they are known by then."""
    headers = [*error_headers(info.call_id, version), *_known(info), *_of_provider(info)]
    if info.limits:
        headers += limit_headers(info.limits, frozenset(name for name, _ in headers))
    return headers


def _known(info: CallInfo) -> Iterator[Header]:
    for name, text in (
        (b"x-litellm-model-id", info.deployment_id),
        (b"x-litellm-model-group", info.model_group),
        (b"x-litellm-model-api-base", info.api_base),
    ):
        if text:
            yield name, _value(text)
    if info.upstream_model:
        yield b"x-litellm-model-name", _value(f"{info.provider}/{info.upstream_model}")
    yield b"x-litellm-attempted-retries", b"%d" % info.attempted_retries
    yield b"x-litellm-attempted-fallbacks", b"%d" % info.attempted_fallbacks
    yield b"x-cache-status", b"HIT" if info.cache_hit else b"MISS"
    if info.cached_input_count:
        yield b"x-meshgate-cached-inputs", b"%d" % info.cached_input_count
    if info.cache_hit:
        yield b"x-litellm-cache-key", _value(info.cache_key)
        if info.similarity is not None:
            yield b"x-litellm-semantic-similarity", _number(info.similarity)
            yield b"x-meshgate-cache-source-key", _value(info.cache_source_key)
    yield from _of_money(info)
    if info.duration_s:
        yield b"x-litellm-response-duration-ms", _number(info.duration_s * 1e3)
        overhead_s = max(0.0, info.duration_s - info.provider_duration_s)
        yield b"x-litellm-overhead-duration-ms", _number(overhead_s * 1e3)
    if info.compression:
        yield b"x-meshgate-compression", _value(info.compression)
    if info.original_prompt_tokens is not None and info.compressed_prompt_tokens is not None:
        yield b"x-meshgate-original-prompt-tokens", b"%d" % info.original_prompt_tokens
        yield b"x-meshgate-compressed-prompt-tokens", b"%d" % info.compressed_prompt_tokens


def _of_money(info: CallInfo) -> Iterator[Header]:
    if info.cost_usd_nanos is not None:
        yield b"x-litellm-response-cost", _number(usd(info.cost_usd_nanos))
        yield b"x-litellm-response-cost-input", _number(usd(info.input_cost_usd_nanos))
        yield b"x-litellm-response-cost-output", _number(usd(info.output_cost_usd_nanos))
    if info.key_spend_usd_nanos is not None:
        yield b"x-litellm-key-spend", _number(usd(info.key_spend_usd_nanos))
    if info.key_max_budget_usd_nanos is not None:
        yield b"x-litellm-key-max-budget", _number(usd(info.key_max_budget_usd_nanos))


def _of_provider(info: CallInfo) -> Iterator[Header]:
    for name, text in info.provider_headers.items():
        if not _NAME.fullmatch(name):
            continue
        value = _value(text)
        yield PROVIDER_PREFIX + name.encode(), value
        if name in RATE_LIMITS:
            yield RATE_LIMITS[name], value


def _number(value: float) -> bytes:
    return repr(value).encode()


def _value(text: str) -> bytes:
    """Text that may come from anywhere, made safe for a header."""
    return _NOT_IN_VALUES.sub("?", text).encode("latin-1")
