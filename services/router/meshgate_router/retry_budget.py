"""How many retries there may be: a share of the latest requests, so that failures cause no storm.

It is about asking a deployment again that has just failed. Other deployments and fallbacks are not limited:
there are only so many of them.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.clock import Clock

WINDOW_S: Final = 10.0
BUCKETS: Final = 10
RETRY_SHARE_MAX: Final = 0.5  # of a model group's requests of the window
RETRIES_FREE: Final = 20  # in a window, however few requests there are
GROUPS_MAX: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    number: int
    requests: int = 0
    retries: int = 0


class RetryBudget:
    """Of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[str, deque[_Bucket]] = {}

    def request(self, group: str) -> None:
        """Notes a request."""
        self._now(group).requests += 1

    def allow(self, group: str) -> bool:
        """Whether there may be one more retry; counts it."""
        bucket = self._now(group)
        buckets = self._groups[group]
        allowed = RETRIES_FREE + RETRY_SHARE_MAX * sum(each.requests for each in buckets)
        if sum(each.retries for each in buckets) >= allowed:
            return False
        bucket.retries += 1
        return True

    def _now(self, group: str) -> _Bucket:
        number = int(self._clock.monotonic_s() / (WINDOW_S / BUCKETS))
        buckets = self._groups.get(group)
        if buckets is None:
            if len(self._groups) >= GROUPS_MAX:
                del self._groups[next(iter(self._groups))]
            buckets = self._groups[group] = deque()
        while buckets and buckets[0].number <= number - BUCKETS:
            buckets.popleft()
        if not buckets or buckets[-1].number != number:
            buckets.append(_Bucket(number))
        return buckets[-1]
