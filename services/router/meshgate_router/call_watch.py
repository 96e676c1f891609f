"""What becomes of every call: told to the breaker, the states of deployments, the metrics and the log."""

import structlog

from meshgate_chassis.clock import Clock
from meshgate_router.breaker import Breaker
from meshgate_router.failures import Failure
from meshgate_router.lease import Lease, Tokens
from meshgate_router.metrics import RouterMetrics
from meshgate_router.providers.base import ErrorKind

log = structlog.get_logger("meshgate.router")


class CallWatch:
    """Implements lease.Watch."""

    def __init__(self, breaker: Breaker, metrics: RouterMetrics, clock: Clock) -> None:
        self._breaker = breaker
        self._metrics = metrics
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.monotonic_s()

    def answered(self, lease: Lease) -> None:
        self._breaker.succeeded(lease.deployment)
        self._metrics.answered(lease.deployment.provider, self.now_s() - lease.start_s)

    def failed(self, lease: Lease, failure: Failure) -> None:
        deployment, error = failure.deployment, failure.error
        self._metrics.failed(deployment.provider, error.kind)
        log.warning(
            "provider call failed",
            model=failure.group,
            provider=deployment.provider,
            deployment_id=deployment.id,
            reason=error.kind.value,
            status=error.upstream_status,
        )
        if lease.terms.shortened and error.kind is ErrorKind.TIMEOUT:
            return
        if self._breaker.failed(deployment, error, alternatives=len(lease.group.deployments) > 1):
            self._metrics.cooldown(deployment.provider)
            log.warning("deployment cools down", model=failure.group, deployment_id=deployment.id)

    def ended(self, lease: Lease, tokens: Tokens | None) -> None:
        pass
