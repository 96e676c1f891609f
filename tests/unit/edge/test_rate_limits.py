"""What clients are told of limits: LiteLLM's, OpenAI's and the plain names, and never one name twice."""

from dataclasses import replace

import pytest

from meshgate_edge.call import CallInfo
from meshgate_edge.http.call_headers import call_headers
from meshgate_edge.http.errors import render_error
from meshgate_edge.money.denials import denied
from meshgate_edge.money.rate_limits import limits_of
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

RESET_S = 1_700_000_060
RESET_TEXT = "2023-11-14 22:14:20 UTC"
METRIC = pb.LimitState.Metric
REASON = pb.Denial.Reason


def state(scope: str, metric: int, maximum: int, remaining: int, **members: str) -> pb.LimitState:
    """As the ledger tells it; of a minute unless told otherwise."""
    told = pb.LimitState(
        scope=scope,
        scope_id="abc",
        metric=METRIC.Name(metric),
        period="60s",
        maximum=maximum,
        remaining=remaining,
    )
    told.reset_time.FromSeconds(RESET_S)
    for name, value in members.items():
        setattr(told, name, value)
    return told


def headers(*states: pb.LimitState, info: CallInfo | None = None) -> dict[str, str]:
    """By name; a name must not come twice."""
    told = info or CallInfo("call-1", "gpt")
    listed = call_headers(replace(told, limits=limits_of(states)), "1.0")
    by_name = {name.decode(): value.decode() for name, value in listed}
    assert len(listed) == len(by_name)
    return {name: value for name, value in by_name.items() if "ratelimit" in name or "limit" in name}


def test_every_scope_is_told_and_the_tightest_by_plain_names() -> None:
    """As LiteLLM's clients and OpenAI's look for them."""
    told = headers(
        state("team", METRIC.METRIC_REQUESTS, 10, 1),
        state("key", METRIC.METRIC_REQUESTS, 100, 60),
        state("key", METRIC.METRIC_TOKENS, 5_000, 4_000),
    )

    assert {
        "x-ratelimit-team-limit-requests": "10",
        "x-ratelimit-team-remaining-requests": "1",
        "x-ratelimit-api_key-limit-requests": "100",
        "x-ratelimit-api_key-remaining-requests": "60",
        "x-ratelimit-api_key-limit-tokens": "5000",
        "x-ratelimit-api_key-remaining-tokens": "4000",
        "x-litellm-key-rpm-limit": "100",
        "x-litellm-key-tpm-limit": "5000",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "4000",
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": str(RESET_S),
    } == told


def test_the_minute_is_told_before_the_day() -> None:
    """One name, two periods."""
    told = headers(
        state("key", METRIC.METRIC_REQUESTS, 1_000, 1, period="1d"),
        state("key", METRIC.METRIC_REQUESTS, 100, 60),
    )

    assert "100" == told["x-ratelimit-api_key-limit-requests"]
    assert "1000" == told["x-ratelimit-limit-requests"]


def test_a_providers_own_values_are_left_alone() -> None:
    """Who sends OpenAI's headers is believed; ours are told by scope."""
    info = CallInfo("call-1", "gpt", provider_headers={"x-ratelimit-limit-requests": "7"})
    told = headers(state("key", METRIC.METRIC_REQUESTS, 100, 60), info=info)

    assert "7" == told["x-ratelimit-limit-requests"]
    assert "x-ratelimit-remaining-requests" not in told
    assert "100" == told["x-ratelimit-api_key-limit-requests"]


@pytest.mark.parametrize(
    ("scope", "model", "name"),
    [
        ("member", "", "team_member"),
        ("customer", "", "end_user"),
        ("gateway", "", "global"),
        ("gateway", "gpt", "model"),
        ("key", "gpt", "model_per_key"),
        ("team", "gpt", "model_per_team"),
        ("customer", "gpt", "model_per_end_user"),
    ],
)
def test_scopes_have_litellms_names(scope: str, model: str, name: str) -> None:
    """A limit for one model is no limit of its owner."""
    told = headers(state(scope, METRIC.METRIC_REQUESTS, 5, 4, model=model))

    assert "5" == told[f"x-ratelimit-{name}-limit-requests"]


def test_budgets_and_slots_are_no_rates() -> None:
    """They have words of their own."""
    assert {} == headers(state("key", METRIC.METRIC_SPEND, 5, 4), state("key", METRIC.METRIC_PARALLEL, 5, 4))


def refused(reason: int, limit: pb.LimitState, retry_after_s: int | None = None) -> pb.Denial:
    denial = pb.Denial(reason=REASON.Name(reason), message="no", limit=limit)
    if retry_after_s is not None:
        denial.retry_after.FromSeconds(retry_after_s)
    return denial


def test_a_rate_limit_is_refused_in_litellms_words() -> None:
    """Status, type, sentence, and when to come back."""
    limit = state("key", METRIC.METRIC_REQUESTS, 2, 0)
    rendered = render_error(denied(refused(REASON.REASON_RATE_LIMITED, limit, 42), "gpt"))

    assert 429 == rendered.status
    assert {
        "message": "Rate limit exceeded for api_key: abc. Limit type: requests. "
        f"Current limit: 2, Remaining: 0. Limit resets at: {RESET_TEXT}",
        "type": "throttling_error",
        "param": None,
        "code": "429",
    } == rendered.body["error"]
    told = dict(rendered.headers)
    assert (b"42", b"requests", RESET_TEXT.encode()) == (
        told[b"retry-after"],
        told[b"rate_limit_type"],
        told[b"reset_at"],
    )
    assert b"0" == told[b"x-ratelimit-api_key-remaining-requests"]
    assert (b"2", b"0", b"%d" % RESET_S) == (
        told[b"x-ratelimit-limit"],
        told[b"x-ratelimit-remaining"],
        told[b"x-ratelimit-reset"],
    )
    assert len(told) == len(rendered.headers)
    assert b"x-should-retry" not in told


def test_a_limit_of_a_day_says_so() -> None:
    """Or nobody would understand the number."""
    limit = state("key", METRIC.METRIC_TOKENS, 2, 0, period="1d", model="gpt")
    message = render_error(denied(refused(REASON.REASON_RATE_LIMITED, limit))).body["error"]["message"]

    assert "for model gpt" in message
    assert "Current limit: 2 per 1d" in message


def test_too_many_at_a_time_may_come_back_soon() -> None:
    """A slot is free as soon as a call ends."""
    limit = state("user", METRIC.METRIC_PARALLEL, 3, 0, period="")
    limit.ClearField("reset_time")
    rendered = render_error(denied(refused(REASON.REASON_PARALLEL_LIMITED, limit)))

    told = dict(rendered.headers)
    assert (429, b"1", b"max_parallel_requests") == (
        rendered.status,
        told[b"retry-after"],
        told[b"rate_limit_type"],
    )
    assert rendered.body["error"]["message"].endswith("Current limit: 3, Remaining: 0.")


def test_a_used_up_budget_is_not_retried() -> None:
    """The words of both, whose budget it is, and no advice to try again."""
    limit = state("team", METRIC.METRIC_SPEND, 5_000_000_000, 0)
    denial = refused(REASON.REASON_BUDGET_EXCEEDED, limit)
    denial.spend_usd_nanos, denial.max_budget_usd_nanos = 5_500_000_000, 5_000_000_000
    rendered = render_error(denied(denial))

    message = rendered.body["error"]["message"]
    assert message.startswith("Budget has been exceeded! Team=abc Current cost: 5.5, Max budget: 5.0")
    assert "Budget exceeded" in message
    assert (429, "budget_exceeded") == (rendered.status, rendered.body["error"]["type"])
    assert ((b"x-should-retry", b"false"),) == rendered.headers


def test_a_blocked_account_is_forbidden() -> None:
    """Not a matter of the credential."""
    denial = pb.Denial(reason=REASON.REASON_ACCOUNT_BLOCKED, message="the team is blocked")
    rendered = render_error(denied(denial))

    assert (403, "auth_error") == (rendered.status, rendered.body["error"]["type"])


def test_a_reason_of_tomorrow_is_still_a_denial() -> None:
    """A newer ledger may know more of them."""
    denial = pb.Denial.FromString(b"\x08\x63")

    assert "DENIED" == denied(denial).reason
