"""When a process that ended by itself is started again. Pure.

There is no last attempt: a service that is down is one failure, a mesh that gives up on it is another.
"""

from dataclasses import dataclass

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 15.0
BACKOFF_FACTOR = 2.0
STEADY_S = 60.0  # who has run so long starts again with the first backoff


@dataclass(slots=True)
class RestartPolicy:
    """The memory of one process's crashes."""

    _backoff_s: float = BACKOFF_FIRST_S

    def after_crash(self, ran_s: float) -> float:
        """Seconds to wait, given how long the process ran."""
        if ran_s >= STEADY_S:
            self._backoff_s = BACKOFF_FIRST_S
        backoff_s = self._backoff_s
        self._backoff_s = min(backoff_s * BACKOFF_FACTOR, BACKOFF_MAX_S)
        return backoff_s
