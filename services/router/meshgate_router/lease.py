"""One call to one deployment, from the pick to its end.

Whoever holds a lease ends it, whatever happens, cancellation included; every further word about it is
ignored. So every outcome reaches the breaker, the counts, the latencies and the rate limits once.

    answered()  the whole answer is there, or the first chunks of a stream: the deployment works
    failed()    it went wrong, before or after `answered`; ends the lease
    ended()     it is over; without `answered`: it was given up (a hedge that lost, a caller that left)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from meshgate_chassis.config.model import Deployment
from meshgate_chassis.config.names import ModelGroup
from meshgate_router.deployment_limits import Taken
from meshgate_router.failures import Failure
from meshgate_router.journey import Journey
from meshgate_router.limit_rules import Amounts
from meshgate_router.providers.base import ProviderError
from meshgate_router.transport import CallTimeouts


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage of one call, as the provider reported it or as it was counted."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call may take. `shortened`: see timing.CallLimits. `fallbacks`: there are other groups to turn
    to when it fails."""

    timeouts: CallTimeouts
    shortened: bool
    stream: bool
    fallbacks: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """What was taken of the deployment's limits."""

    taken: Taken
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Choice:
    """What was picked for whom. `hold`: None: the deployment has no limits."""

    group: ModelGroup
    deployment: Deployment
    journey: Journey
    terms: Terms
    hold: Hold | None


class Lease:
    """See the module. Safe in one event loop only."""

    __slots__ = (
        "_open",
        "_watch",
        "answered_s",
        "deployment",
        "group",
        "hold",
        "journey",
        "start_s",
        "terms",
    )

    def __init__(self, choice: Choice, watch: "Watch") -> None:
        self.group = choice.group
        self.deployment = choice.deployment
        self.journey = choice.journey
        self.terms = choice.terms
        self.hold = choice.hold
        self.start_s = watch.now_s()
        self.answered_s: float | None = None
        self._watch = watch
        self._open = True
        watch.started(self)

    @property
    def timeouts(self) -> CallTimeouts:
        """Of this call."""
        return self.terms.timeouts

    @property
    def has_answered(self) -> bool:
        return self.answered_s is not None

    @property
    def first_tokens_s(self) -> Sequence[float]:
        """The latest times to the first token of the deployment's streams, oldest first."""
        return self._watch.first_tokens_s(self.deployment)

    def answered(self) -> None:
        """The first good sign."""
        if self._open and self.answered_s is None:
            self.answered_s = self._watch.now_s()
            self._watch.answered(self)

    def failed(self, error: ProviderError) -> Failure:
        """Ends the lease. The failure is in the journey, once."""
        failure = Failure(self.group.name, self.deployment, error)
        if self._open:
            self._open = False
            self.journey.failures.append(failure)
            if error.unanswered and not self.has_answered:
                self.journey.unanswered(self.deployment, self.group.name)
            self._watch.failed(self, failure)
        return failure

    def ended(self, tokens: Tokens | None = None, *, slow_s: float | None = None) -> None:
        """Ends the lease. `tokens`: None: not known. `slow_s`: it was given up because it took that long."""
        if self._open:
            self._open = False
            self._watch.ended(self, tokens, slow_s)


class Watch(Protocol):
    """What leases report to (meshgate_router.call_watch)."""

    def now_s(self) -> float:
        """On the monotonic clock."""

    def first_tokens_s(self, deployment: Deployment) -> Sequence[float]: ...

    def started(self, lease: Lease) -> None: ...

    def answered(self, lease: Lease) -> None: ...

    def failed(self, lease: Lease, failure: Failure) -> None: ...

    def ended(self, lease: Lease, tokens: Tokens | None, slow_s: float | None) -> None: ...
