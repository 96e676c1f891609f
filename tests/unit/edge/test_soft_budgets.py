"""A soft budget is told when it is passed, and not with every call."""

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from meshgate_edge.call import CallInfo
from meshgate_edge.money.rate_limits import Limit
from meshgate_edge.money.soft_budgets import AGAIN_S, SoftBudgets
from tests.support.clock import ManualClock


def limit(scope_id: str, *, passed: bool) -> Limit:
    """A team's budget of two dollars a day."""
    return Limit("team", scope_id, "", "budget", "1d", 2_000_000_000, 0, soft_exceeded=passed)


def test_a_soft_budget_is_told_once_in_a_while() -> None:
    """Each budget by itself; every call counts."""
    registry, clock = CollectorRegistry(), ManualClock()
    observer = SoftBudgets(registry, clock)
    info = CallInfo("c", "m", limits=(limit("a", passed=True), limit("b", passed=False)))

    with capture_logs() as lines:
        observer.finished(info, None)
        observer.finished(info, None)
        observer.finished(CallInfo("c", "m", limits=(limit("c", passed=True),)), None)
        clock.advance(AGAIN_S)
        observer.finished(info, None)

    assert ["a", "c", "a"] == [line["scope_id"] for line in lines]
    assert {2.0} == {line["budget"] for line in lines}
    assert 4.0 == registry.get_sample_value("meshgate_soft_budget_exceeded_calls_total", {"scope": "team"})
