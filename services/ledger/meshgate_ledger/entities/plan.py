"""Limits as people configure them, and the limits of accounts that follow. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from meshgate_ledger.account_ids import model_account
from meshgate_ledger.limits import LimitSpec, Metric
from meshgate_ledger.periods import WHOLE_LIFE

MINUTE = "60s"
DAY = "1d"


@dataclass(frozen=True, slots=True)
class Window:
    """A budget for a period; see periods.py."""

    maximum_nanos: int
    period: str = WHOLE_LIFE


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """Everything that may be limited of one key or entity. Absent members limit nothing."""

    max_budget_nanos: int | None = None
    soft_budget_nanos: int | None = None
    budget_period: str = WHOLE_LIFE  # of the two above
    windows: tuple[Window, ...] = ()
    model_budgets: Mapping[str, Window] = field(default_factory=dict)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    parallel_calls: int | None = None
    model_requests_per_minute: Mapping[str, int] = field(default_factory=dict)
    model_tokens_per_minute: Mapping[str, int] = field(default_factory=dict)

    @property
    def models(self) -> frozenset[str]:
        """Those that have limits of their own."""
        named = (self.model_budgets, self.model_requests_per_minute, self.model_tokens_per_minute)
        return frozenset(model for each in named for model in each)


NO_LIMITS = LimitPlan()


def over(own: LimitPlan, template: LimitPlan) -> LimitPlan:
    """What results of an own plan and a template: what is not limited by the one is by the other."""
    merged: dict[str, Any] = {}
    for each in fields(LimitPlan):
        mine, theirs = getattr(own, each.name), getattr(template, each.name)
        if isinstance(mine, Mapping):
            merged[each.name] = {**theirs, **mine}
        else:
            merged[each.name] = theirs if mine in (None, WHOLE_LIFE, ()) else mine
    return LimitPlan(**merged)


def account_limits(account_id: str, plan: LimitPlan) -> dict[str, tuple[LimitSpec, ...]]:
    """The limits of the account, which is always there, and of its parts that are for one model."""
    found = {account_id: _own_limits(plan)}
    for model in sorted(plan.models):
        found[model_account(account_id, model)] = _model_limits(plan, model)
    return found


def plan_json(plan: LimitPlan) -> dict[str, Any]:
    """For the database; only what is set."""
    found: dict[str, Any] = {}
    for each in fields(LimitPlan):
        value = getattr(plan, each.name)
        if each.name == "windows":
            value = [_window_json(window) for window in value]
        elif each.name == "model_budgets":
            value = {model: _window_json(window) for model, window in value.items()}
        if value not in (None, WHOLE_LIFE, [], {}):
            found[each.name] = value
    return found


def plan_from_json(stored: Mapping[str, Any]) -> LimitPlan:
    """The reverse of `plan_json`; members of a later version are left out."""
    known = {each.name: stored[each.name] for each in fields(LimitPlan) if each.name in stored}
    if "windows" in known:
        known["windows"] = tuple(_window(each) for each in known["windows"])
    if "model_budgets" in known:
        known["model_budgets"] = {model: _window(each) for model, each in known["model_budgets"].items()}
    return LimitPlan(**known)


def _own_limits(plan: LimitPlan) -> tuple[LimitSpec, ...]:
    budgets: dict[str, LimitSpec] = {}
    if plan.max_budget_nanos is not None or plan.soft_budget_nanos is not None or plan.budget_period:
        main = LimitSpec("spend", plan.budget_period, plan.max_budget_nanos, plan.soft_budget_nanos)
        budgets[main.period] = main
    for window in plan.windows:
        same = budgets.get(window.period)
        soft = None if same is None else same.soft_maximum
        maxima = [window.maximum_nanos, *_known(None if same is None else same.maximum)]
        budgets[window.period] = LimitSpec("spend", window.period, min(maxima), soft)
    return (
        *budgets.values(),
        *_limit("requests", MINUTE, plan.requests_per_minute),
        *_limit("requests", DAY, plan.requests_per_day),
        *_limit("tokens", MINUTE, plan.tokens_per_minute),
        *_limit("tokens", DAY, plan.tokens_per_day),
        *_limit("parallel", WHOLE_LIFE, plan.parallel_calls),
    )


def _model_limits(plan: LimitPlan, model: str) -> tuple[LimitSpec, ...]:
    budget = plan.model_budgets.get(model)
    return (
        *(() if budget is None else _limit("spend", budget.period, budget.maximum_nanos)),
        *_limit("requests", MINUTE, plan.model_requests_per_minute.get(model)),
        *_limit("tokens", MINUTE, plan.model_tokens_per_minute.get(model)),
    )


def _limit(metric: Metric, period: str, maximum: int | None) -> tuple[LimitSpec, ...]:
    return () if maximum is None else (LimitSpec(metric, period, maximum),)


def _known(value: int | None) -> Iterable[int]:
    return () if value is None else (value,)


def _window_json(window: Window) -> dict[str, Any]:
    return {"maximum_nanos": window.maximum_nanos, "period": window.period}


def _window(stored: Mapping[str, Any]) -> Window:
    return Window(stored["maximum_nanos"], stored["period"])
