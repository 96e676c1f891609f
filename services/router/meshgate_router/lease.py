"""One call to one deployment, from the pick to its end.

Whoever holds a lease ends it, whatever happens, cancellation included; every further word about it is
ignored. So every outcome reaches the breaker, the counts, the latencies and the rate limits once.

    answered()  the whole answer is there, or the first chunks of a stream: the deployment works
    failed()    it went wrong, before or after `answered`; ends the lease
    ended()     it is over; without `answered`: it was given up (a hedge that lost, a caller that left)
"""

from dataclasses import dataclass
from typing import Protocol

from meshgate_chassis.config.model import Deployment
from meshgate_chassis.config.names import ModelGroup
from meshgate_router.failures import Failure
from meshgate_router.journey import Journey
from meshgate_router.providers.base import ProviderError
from meshgate_router.transport import CallTimeouts


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage of one call, as the provider reported it or as it was counted."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call may take. `shortened`: see timing.CallLimits."""

    timeouts: CallTimeouts
    shortened: bool
    stream: bool


class Lease:
    """See the module. Safe in one event loop only."""

    __slots__ = ("_answered", "_open", "_watch", "deployment", "group", "journey", "start_s", "terms")

    def __init__(
        self, group: ModelGroup, deployment: Deployment, journey: Journey, terms: Terms, watch: "Watch"
    ) -> None:
        self.group = group
        self.deployment = deployment
        self.journey = journey
        self.terms = terms
        self.start_s = watch.now_s()
        self._watch = watch
        self._answered = False
        self._open = True

    @property
    def timeouts(self) -> CallTimeouts:
        """Of this call."""
        return self.terms.timeouts

    @property
    def has_answered(self) -> bool:
        return self._answered

    def answered(self) -> None:
        """The first good sign."""
        if self._open and not self._answered:
            self._answered = True
            self._watch.answered(self)

    def failed(self, error: ProviderError) -> Failure:
        """Ends the lease. The failure is in the journey, once."""
        failure = Failure(self.group.name, self.deployment, error)
        if self._open:
            self._open = False
            self.journey.failures.append(failure)
            self._watch.failed(self, failure)
        return failure

    def ended(self, tokens: Tokens | None = None) -> None:
        """Ends the lease. `tokens`: None: not known."""
        if self._open:
            self._open = False
            self._watch.ended(self, tokens)


class Watch(Protocol):
    """What leases report to (meshgate_router.call_watch)."""

    def now_s(self) -> float:
        """On the monotonic clock."""

    def answered(self, lease: Lease) -> None: ...

    def failed(self, lease: Lease, failure: Failure) -> None: ...

    def ended(self, lease: Lease, tokens: Tokens | None) -> None: ...
