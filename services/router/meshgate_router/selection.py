"""Who gets the next call: the eligible deployments of a group, one of them chosen and leased.

A lease is the only way to call a deployment, so that whatever is counted is counted for every call.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random

from meshgate_chassis.config.model import Deployment
from meshgate_chassis.config.names import ModelGroup
from meshgate_router.breaker import Breaker
from meshgate_router.journey import Journey, RouteTask
from meshgate_router.lease import Lease, Terms, Watch
from meshgate_router.policy import choose


@dataclass(frozen=True, slots=True)
class Wish:
    """`without`: deployments that are not to be called. `terms`: what a call to a deployment may take."""

    task: RouteTask
    group: ModelGroup
    journey: Journey
    terms: Callable[[Deployment], Terms]
    without: Collection[Deployment] = ()


class Selector:
    """Picks deployments for all requests."""

    def __init__(self, breaker: Breaker, watch: Watch, random: Random) -> None:
        self._breaker = breaker
        self._watch = watch
        self._random = random

    def candidates(self, wish: Wish) -> Sequence[Deployment]:
        """Those that do not cool down; the journey notes the others."""
        found = []
        for deployment in wish.group.deployments:
            if (cooling_s := self._breaker.cooling_s(deployment)) > 0:
                wish.journey.skipped(cooling_s=cooling_s)
            elif deployment not in wish.without:
                found.append(deployment)
        return found

    async def lease(self, wish: Wish) -> Lease | None:
        """A lease of one of the candidates; None: none may be called now (the journey knows why)."""
        candidates = self.candidates(wish)
        if not candidates:
            return None
        deployment = choose(candidates, self._random)
        return Lease(wish.group, deployment, wish.journey, wish.terms(deployment), self._watch)
