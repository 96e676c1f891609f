"""Limits as people configure them, and what follows."""

import pytest

from meshgate_ledger.entities.plan import (
    NO_LIMITS,
    LimitPlan,
    Window,
    account_limits,
    over,
    plan_from_json,
    plan_json,
)
from meshgate_ledger.limits import LimitSpec

EVERYTHING = LimitPlan(
    max_budget_nanos=10,
    soft_budget_nanos=0,
    budget_period="1d",
    windows=(Window(5, "1h"), Window(100)),
    model_budgets={"gpt": Window(3, "1mo")},
    requests_per_minute=0,
    tokens_per_minute=2,
    requests_per_day=3,
    tokens_per_day=4,
    parallel_calls=5,
    model_requests_per_minute={"gpt": 6, "claude": 7},
    model_tokens_per_minute={"gpt": 8},
)


def test_everything_becomes_limits_of_accounts() -> None:
    """The whole on the account, what is for one model on its part."""
    assert {
        "user:u": (
            LimitSpec("spend", "1d", 10, 0),
            LimitSpec("spend", "1h", 5),
            LimitSpec("spend", "", 100),
            LimitSpec("requests", "60s", 0),
            LimitSpec("requests", "1d", 3),
            LimitSpec("tokens", "60s", 2),
            LimitSpec("tokens", "1d", 4),
            LimitSpec("parallel", "", 5),
        ),
        "user:u|model:claude": (LimitSpec("requests", "60s", 7),),
        "user:u|model:gpt": (
            LimitSpec("spend", "1mo", 3),
            LimitSpec("requests", "60s", 6),
            LimitSpec("tokens", "60s", 8),
        ),
    } == account_limits("user:u", EVERYTHING)


def test_no_limits() -> None:
    """The account is there nevertheless."""
    assert {"user:u": ()} == account_limits("user:u", NO_LIMITS)


def test_two_budgets_of_one_period_are_the_smaller_one() -> None:
    """An account has one limit for each period."""
    plan = LimitPlan(max_budget_nanos=10, soft_budget_nanos=7, windows=(Window(9),))

    assert (LimitSpec("spend", "", 9, 7),) == account_limits("user:u", plan)["user:u"]


def test_a_period_without_a_maximum_is_counted() -> None:
    """What is spent is then told by the period."""
    assert (LimitSpec("spend", "1d", None),) == account_limits("a", LimitPlan(budget_period="1d"))["a"]


@pytest.mark.parametrize("plan", [NO_LIMITS, EVERYTHING])
def test_a_plan_comes_back_from_the_database(plan: LimitPlan) -> None:
    """Also the zeros in it."""
    assert plan == plan_from_json(plan_json(plan))


def test_members_of_a_later_version_are_left_out() -> None:
    """So that two versions can run side by side."""
    assert LimitPlan(parallel_calls=1) == plan_from_json({"parallel_calls": 1, "images_per_minute": 3})


def test_an_own_limit_is_over_the_templates() -> None:
    """Zero is a limit; what is absent comes from the template, models one by one."""
    own = LimitPlan(requests_per_minute=0, model_requests_per_minute={"gpt": 1})

    merged = over(own, EVERYTHING)

    assert (0, 2, {"gpt": 1, "claude": 7}) == (
        merged.requests_per_minute,
        merged.tokens_per_minute,
        merged.model_requests_per_minute,
    )
    assert EVERYTHING == over(NO_LIMITS, EVERYTHING) == over(EVERYTHING, NO_LIMITS)
