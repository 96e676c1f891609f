"""A router whose deployments answer as a test tells them, on a clock of its own."""

from collections.abc import Sequence
from typing import Any

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.attempt import Served
from meshgate_router.journey import RouteTask
from meshgate_router.lease import Lease
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.transport import CallTimeouts
from tests.support.clock import ManualClock
from tests.unit.router.support import RouterUnderTest


def failure(kind: ErrorKind, retry_after_s: float | None = None, *, sent: bool = True) -> ProviderError:
    return ProviderError(kind, f"no: {kind.name}", 500, retry_after_s=retry_after_s, sent=sent)


class Script:
    """By id, one outcome for each call, the last one for ever; "fine" where nothing is said."""

    def __init__(
        self,
        deployments: Sequence[Deployment],
        config: RouterConfig,
        clock: ManualClock | None = None,
        **outcomes: list[Any],
    ) -> None:
        self.clock = clock or ManualClock()
        self.router = RouterUnderTest(deployments, config, self.clock)
        self.outcomes = outcomes
        self.calls: list[str] = []
        self.timeouts: list[CallTimeouts] = []
        self.call_s = 0.0

    def task(self, model: str = "a", deadline_s: float = 600.0, **members: Any) -> RouteTask:
        return RouteTask(model, self.clock.monotonic_s() + deadline_s, stream=False, **members)

    async def run(self, model: str = "a", deadline_s: float = 600.0, **members: Any) -> Served[str]:
        """One request. Its lease is over."""
        served = await self.held(model, deadline_s, **members)
        served.lease.ended()
        return served

    async def held(self, model: str = "a", deadline_s: float = 600.0, **members: Any) -> Served[str]:
        """One request that is still under way."""
        return await self.router.loop.run(self.task(model, deadline_s, **members), self.call)

    async def call(self, lease: Lease) -> tuple[str, Lease]:
        """An action of the attempt loop."""
        name = lease.deployment.id.removeprefix("id-")
        self.calls.append(name)
        self.timeouts.append(lease.timeouts)
        self.clock.advance(min(self.call_s, lease.timeouts.total_s))
        outcomes = self.outcomes.get(name, ["fine"])
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if isinstance(outcome, ProviderError):
            raise outcome
        return str(outcome), lease
