"""A circuit breaker for a store that others can reach and we cannot.

Closed: calls pass. After some failures in a row it opens: calls are refused at once, and one task asks the
store, with growing pauses, until it answers; then it closes. So a store that is down costs its callers
nothing, is not hammered with connections, and is used again by itself, even without traffic.

Invariants: one probe at a time; one log line for each change of state, however many calls fail.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner

log = structlog.get_logger("meshgate.cache.circuit")


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """`failures_max`: in a row, before it opens. The pause before a probe doubles up to its maximum."""

    failures_max: int = 3
    probe_pause_s: float = 0.1
    probe_pause_s_max: float = 1.0


DEFAULT_RULES = CircuitRules()
NOT_ASKED: Final = "circuit open"  # the cause told of what the store never heard of


class Circuit:
    """See the module. `probe` says whether the store answers; it bounds its own time and does not raise."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[bool]],
        tasks: TaskOwner,
        clock: Clock,
        rules: CircuitRules = DEFAULT_RULES,
    ) -> None:
        self._probe = probe
        self._tasks = tasks
        self._clock = clock
        self._rules = rules
        self._failure_count = 0
        self._closed = True

    @property
    def closed(self) -> bool:
        """True while calls pass."""
        return self._closed

    def admit(self) -> None:
        """Raises UNAVAILABLE/STORE_UNAVAILABLE while the circuit is open."""
        if not self._closed:
            raise unavailable(NOT_ASKED)

    def succeeded(self) -> None:
        """The store answered."""
        self._failure_count = 0

    def failed(self, cause: str) -> None:
        """The store did not answer; `cause` is a kind of failure, for the log."""
        self._failure_count += 1
        if self._failure_count >= self._rules.failures_max:
            self.open(cause)

    def open(self, cause: str) -> None:
        """Refuses calls from now on, until a probe succeeds. Without effect when it is open."""
        if self._closed:
            self._closed = False
            log.warning("Redis does not answer: every lookup is a miss until it does", cause=cause)
            self._tasks.start(self._recover(), "recover")

    async def _recover(self) -> None:
        pause_s = self._rules.probe_pause_s
        while True:
            await self._clock.sleep(pause_s)
            if await self._probe():
                break
            pause_s = min(pause_s * 2, self._rules.probe_pause_s_max)
        self._failure_count = 0
        self._closed = True
        log.info("Redis answers again")


def unavailable(cause: str) -> MeshError:
    """The error of every store operation that could not be done."""
    return MeshError(
        Code.UNAVAILABLE, "STORE_UNAVAILABLE", "the cache's store does not answer", metadata={"cause": cause}
    )
