"""A circuit for a service that calls can do without: after some failures in a row it is left out for a while.

So a service that hangs costs its deadline a few times, not on every call. Afterwards one call at a time tries
it again, with growing pauses, until it answers.
"""

from dataclasses import dataclass

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError

log = structlog.get_logger("meshgate.edge.circuit")


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """`failures_max`: in a row, before it opens. The pause between two trials doubles up to its maximum.

    The maximum is short: three calls can also be late because this edge itself was, and a trial costs one
    call its deadline."""

    failures_max: int = 3
    pause_s: float = 0.5
    pause_s_max: float = 2.0


DEFAULT_RULES = CircuitRules()


UNANSWERED = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})


class Circuit:
    """See the module. Every call that was allowed reports how it went."""

    def __init__(self, service: str, clock: Clock, rules: CircuitRules = DEFAULT_RULES) -> None:
        self._service = service
        self._clock = clock
        self._rules = rules
        self._failures = 0
        self._pause_s = rules.pause_s
        self._next_trial_s = 0.0

    @property
    def open(self) -> bool:
        """True while calls are left out."""
        return self._failures >= self._rules.failures_max

    def allows(self) -> bool:
        """Whether to ask the service now. While the circuit is open, True is a trial: one for each pause."""
        if not self.open:
            return True
        now_s = self._clock.monotonic_s()
        if now_s < self._next_trial_s:
            return False
        self._next_trial_s = now_s + self._pause_s
        return True

    def ended(self, error: MeshError | None) -> None:
        """A call ended: with an answer, or with an error; an error may be an answer, too."""
        if error is not None and error.code in UNANSWERED:
            self.failed()
        else:
            self.succeeded()

    def succeeded(self) -> None:
        """The service answered."""
        if self.open:
            log.info("service answers again", service=self._service)
        self._failures = 0
        self._pause_s = self._rules.pause_s

    def failed(self) -> None:
        """The service did not answer."""
        if self.open:
            self._pause_s = min(2 * self._pause_s, self._rules.pause_s_max)
        self._failures += 1
        if self._failures == self._rules.failures_max:
            log.warning("service does not answer: left out", service=self._service)
        if self.open:
            self._next_trial_s = self._clock.monotonic_s() + self._pause_s
