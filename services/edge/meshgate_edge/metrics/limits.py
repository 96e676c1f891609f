"""What is left of budgets and limits, as gauges by LiteLLM's names: an observer of admitted calls.

A value is that of the latest admission that this edge has seen. Invariant: the number of label sets is
bounded; who comes later than that is left out.
"""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.money.rate_limits import Limit

OWNERS_MAX: Final = 500  # label sets of each gauge
NONE: Final = "None"
KEY: Final = ("hashed_api_key", "api_key_alias")
# Scope of a budget -> its two gauges, and their labels.
BUDGETS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "api_key": ("litellm_remaining_api_key_budget_metric", "litellm_api_key_max_budget_metric", KEY),
    "team": (
        "litellm_remaining_team_budget_metric",
        "litellm_team_max_budget_metric",
        ("team", "team_alias"),
    ),
    "user": ("litellm_remaining_user_budget_metric", "litellm_user_max_budget_metric", ("user",)),
    "organization": ("litellm_remaining_org_budget_metric", "litellm_org_max_budget_metric", ("org_id",)),
    "global": ("litellm_remaining_budget_usd", "litellm_spend_budget_usd", ()),
}
RATE: Final = "litellm_rate_limit_remaining"


class LimitMetrics:
    """A CallObserver."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges: dict[str, Gauge] = {}
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        for left, maximum, labels in BUDGETS.values():
            self._add(registry, left, "Left of the budget, USD", labels)
            self._add(registry, maximum, "The budget, USD", labels)
        self._add(registry, RATE, "Left of the key's limits", (*KEY, "type"))

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """See CallObserver."""
        if error is None and info.limits:
            self._budgets(info)
            self._rates(info)

    def _budgets(self, info: CallInfo) -> None:
        for limit in _tightest(info.limits, "budget").values():
            names = BUDGETS.get(limit.scope)
            if names is None:
                continue
            owner = _owner(info, limit)
            self._set(names[0], owner, limit.remaining / 1e9)
            self._set(names[1], owner, limit.maximum / 1e9)

    def _rates(self, info: CallInfo) -> None:
        for kind in ("requests", "tokens"):
            limit = _tightest(info.limits, kind).get("api_key")
            if limit is not None:
                self._set(RATE, (*_owner(info, limit), kind), limit.remaining)

    def _add(self, registry: CollectorRegistry, name: str, about: str, labels: tuple[str, ...]) -> None:
        self._gauges[name] = Gauge(name, about, labels, registry=registry)
        self._seen[name] = set()

    def _set(self, name: str, labels: tuple[str, ...], value: float) -> None:
        seen = self._seen[name]
        if labels not in seen:
            if len(seen) >= OWNERS_MAX:
                return
            seen.add(labels)
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)


def _tightest(limits: Sequence[Limit], kind: str) -> dict[str, Limit]:
    """Of each scope the limit of this kind of which least is left."""
    found: dict[str, Limit] = {}
    for limit in limits:
        held = found.get(limit.scope)
        if limit.type == kind and (held is None or limit.remaining < held.remaining):
            found[limit.scope] = limit
    return found


def _owner(info: CallInfo, limit: Limit) -> tuple[str, ...]:
    if limit.scope == "global":
        return ()
    if limit.scope == "api_key":
        return (limit.scope_id or NONE, info.key_alias or NONE)
    if limit.scope == "team":
        return (limit.scope_id or NONE, NONE)
    return (limit.scope_id or NONE,)
