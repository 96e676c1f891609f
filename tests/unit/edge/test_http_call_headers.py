"""What happened to a call, as headers: complete, and safe whatever providers send."""

from dataclasses import replace

from meshgate_edge.call import CallInfo
from meshgate_edge.http.call_headers import call_headers

INFO = CallInfo("call-1", "gpt")


def headers(info: CallInfo) -> dict[str, str]:
    """By name; a name must not come twice."""
    listed = call_headers(info, "1.0")
    told = {name.decode(): value.decode("latin-1") for name, value in listed}
    assert len(listed) == len(told)
    return told


def test_what_is_not_known_is_not_told() -> None:
    """A stream's cost, for example, when it begins."""
    assert {
        "x-litellm-call-id": "call-1",
        "x-litellm-version": "1.0",
        "x-litellm-attempted-retries": "0",
        "x-litellm-attempted-fallbacks": "0",
        "x-cache-status": "MISS",
    } == headers(INFO)


def test_a_hit_is_marked() -> None:
    """LiteLLM's marker is the cache key."""
    hit = replace(INFO, cache_hit=True, cache_key="abc", similarity=0.93, cost_usd_nanos=0)

    told = headers(hit)
    assert ("HIT", "abc", "0.93", "0.0") == (
        told["x-cache-status"],
        told["x-litellm-cache-key"],
        told["x-litellm-semantic-similarity"],
        told["x-litellm-response-cost"],
    )


def test_a_budget_and_a_compression_are_told() -> None:
    """In USD and in tokens."""
    told = headers(
        replace(
            INFO,
            key_spend_usd_nanos=1_500_000_000,
            key_max_budget_usd_nanos=5_000_000_000,
            original_prompt_tokens=100,
            compressed_prompt_tokens=40,
            duration_s=0.5,
            provider_duration_s=0.25,
        )
    )

    assert ("1.5", "5.0") == (told["x-litellm-key-spend"], told["x-litellm-key-max-budget"])
    assert ("100", "40") == (
        told["x-meshgate-original-prompt-tokens"],
        told["x-meshgate-compressed-prompt-tokens"],
    )
    assert ("500.0", "250.0") == (
        told["x-litellm-response-duration-ms"],
        told["x-litellm-overhead-duration-ms"],
    )


def test_a_providers_headers_are_passed_on_under_a_prefix() -> None:
    """And its limits under the names that clients know, whoever sent them."""
    sent = {"x-request-id": "r", "anthropic-ratelimit-tokens-remaining": "7", "content-length": "3"}
    told = headers(replace(INFO, provider_headers=sent))

    assert ("r", "3") == (told["llm_provider-x-request-id"], told["llm_provider-content-length"])
    assert "7" == told["x-ratelimit-remaining-tokens"]
    assert "content-length" not in told


def test_nothing_in_a_value_ends_a_header() -> None:
    """Line ends, zeros and letters that headers do not have become question marks."""
    hostile = {"x-a": "1\r\nset-cookie: x", "x-b": "\x00♥é\t", "bad name": "x", "bad\r\n": "x", "": "x"}
    told = headers(replace(INFO, provider_headers=hostile, deployment_id="d\n♥"))

    assert ("1??set-cookie: x", "??é\t", "d??") == (
        told["llm_provider-x-a"],
        told["llm_provider-x-b"],
        told["x-litellm-model-id"],
    )
    assert {"llm_provider-x-a", "llm_provider-x-b"} == {name for name in told if name.startswith("llm_")}
