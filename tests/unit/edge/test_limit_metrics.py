"""Gauges of what is left: by owner, bounded, and silent about who has no limits."""

from prometheus_client import CollectorRegistry

from meshgate_edge.call import CallInfo
from meshgate_edge.metrics.limits import OWNERS_MAX, LimitMetrics
from meshgate_edge.money.rate_limits import Limit


def limit(scope: str, kind: str, maximum: int, remaining: int, owner: str = "abc") -> Limit:
    return Limit(scope, owner, "", kind, "60s", maximum, remaining)


def test_what_is_left_is_told_by_owner() -> None:
    """Of several budgets of one owner the tightest."""
    registry = CollectorRegistry()
    limits = (
        limit("api_key", "budget", 5_000_000_000, 4_000_000_000),
        limit("api_key", "budget", 2_000_000_000, 1_000_000_000),
        limit("team", "budget", 9_000_000_000, 8_000_000_000),
        limit("global", "budget", 10_000_000_000, 7_500_000_000, ""),
        limit("api_key", "requests", 100, 60),
        limit("tag", "budget", 1, 1),
    )
    LimitMetrics(registry).finished(CallInfo("call-1", "gpt", key_alias="bot", limits=limits), None)

    team = {"team": "abc", "team_alias": "None"}
    key = {"hashed_api_key": "abc", "api_key_alias": "bot"}
    assert 1.0 == registry.get_sample_value("litellm_remaining_api_key_budget_metric", key)
    assert 2.0 == registry.get_sample_value("litellm_api_key_max_budget_metric", key)
    assert 8.0 == registry.get_sample_value("litellm_remaining_team_budget_metric", team)
    assert 7.5 == registry.get_sample_value("litellm_remaining_budget_usd")
    assert 10.0 == registry.get_sample_value("litellm_spend_budget_usd")
    assert 60.0 == registry.get_sample_value("litellm_rate_limit_remaining", key | {"type": "requests"})


def test_the_number_of_owners_is_bounded() -> None:
    """Who is known is still told, who comes later is not."""
    registry = CollectorRegistry()
    metrics = LimitMetrics(registry)
    for number in range(OWNERS_MAX + 10):
        told = (limit("user", "budget", 10, 5, f"user-{number}"),)
        metrics.finished(CallInfo("call-1", "gpt", limits=told), None)

    name = "litellm_remaining_user_budget_metric"
    assert registry.get_sample_value(name, {"user": "user-0"}) is not None
    assert registry.get_sample_value(name, {"user": f"user-{OWNERS_MAX}"}) is None
