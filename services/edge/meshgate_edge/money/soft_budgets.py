"""A soft budget refuses nothing: it is told when it is passed, in the log and as a counter.

Told again no sooner than after `AGAIN_S`, and for at most `OWNERS_MAX` budgets; who comes later than that is
counted without a line.
"""

from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.money.rate_limits import Limit

AGAIN_S: Final = 3_600.0
OWNERS_MAX: Final = 10_000

log = structlog.get_logger("meshgate.edge.budgets")


class SoftBudgets:
    """A CallObserver."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._passed = Counter(
            "meshgate_soft_budget_exceeded_calls", "Calls beyond a soft budget", ("scope",), registry=registry
        )
        self._clock = clock
        self._told_s: dict[tuple[str, str, str, str], float] = {}

    def finished(self, info: CallInfo, _error: MeshError | None) -> None:
        """See CallObserver."""
        for limit in info.limits:
            if limit.soft_exceeded:
                self._passed.labels(limit.scope).inc()
                if self._is_news(limit):
                    log.warning(
                        "soft budget exceeded",
                        scope=limit.scope,
                        scope_id=limit.scope_id,
                        model=limit.model,
                        period=limit.period,
                        budget=limit.maximum / 1e9,
                    )

    def _is_news(self, limit: Limit) -> bool:
        owner = (limit.scope, limit.scope_id, limit.model, limit.period)
        told_s, now_s = self._told_s.get(owner), self._clock.monotonic_s()
        if told_s is None and len(self._told_s) >= OWNERS_MAX:
            return False
        if told_s is not None and now_s - told_s < AGAIN_S:
            return False
        self._told_s[owner] = now_s
        return True
