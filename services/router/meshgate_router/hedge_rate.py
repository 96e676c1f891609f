"""When a second deployment is asked, and how often at most: the learning half of hedging, for one group.

The wait is a quantile of the group's latest times to the first token. Two things keep it honest:

- A call that lost its race counts with the time it had lost by then: it would have taken at least so long.
  Without it the tail would vanish from the sample, and the quantile would creep down into the ordinary.
- When as many calls are slow as may be asked twice, the quantile of a sample lies sometimes among the slow
  ones. So its lower bound is taken; and a hedge that the limit refuses makes the next wait longer, at most
  doubled, so that the few that are allowed go to the slowest calls.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from meshgate_chassis.config.model import HedgingConfig

SAMPLES_MAX: Final = 500
SAMPLES_MIN: Final = 20  # before it, nothing is known and nothing is hedged
SAMPLE_AGE_S_MAX: Final = 600.0
DEVIATIONS: Final = 2.0  # the quantile's lower bound
LONGER: Final = 1.1  # after a hedge that was refused
SHORTER: Final = 0.995  # after one that was allowed
STRETCH_MAX: Final = 2.0
WINDOW_S: Final = 600.0  # of the limit on extra calls
BUCKET_S: Final = 10.0


class FirstTokenTimes:
    """The latest times of one group, and a quantile of them. Times are on the caller's monotonic clock."""

    def __init__(self) -> None:
        self._by_age: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []

    def add(self, now_s: float, duration_s: float) -> None:
        """Forgets what is too old or too much."""
        self._by_age.append((now_s, duration_s))
        insort(self._sorted, duration_s)
        while len(self._by_age) > SAMPLES_MAX or now_s - self._by_age[0][0] > SAMPLE_AGE_S_MAX:
            del self._sorted[bisect_left(self._sorted, self._by_age.popleft()[1])]

    def lower_quantile(self, quantile: float) -> float | None:
        """Its lower bound; None: too few are known."""
        count = len(self._sorted)
        if count < SAMPLES_MIN:
            return None
        deviation: float = (quantile * (1.0 - quantile) / count) ** 0.5
        share = max(0.0, quantile - DEVIATIONS * deviation)
        return self._sorted[min(count - 1, int(share * count))]


class ExtraCalls:
    """At most a share of the calls within the sliding window."""

    def __init__(self, share_max: float) -> None:
        self._share_max = share_max
        self._buckets: deque[list[float]] = deque()  # [start_s, calls, extra calls]
        self._calls = 0
        self._extra = 0

    def called(self, now_s: float) -> None:
        """An ordinary call."""
        self._bucket(now_s)[1] += 1
        self._calls += 1

    def take(self, now_s: float) -> bool:
        """True: one more extra call is allowed, and counted."""
        bucket = self._bucket(now_s)
        if self._extra + 1 > self._share_max * self._calls:
            return False
        bucket[2] += 1
        self._extra += 1
        return True

    def _bucket(self, now_s: float) -> list[float]:
        while self._buckets and now_s - self._buckets[0][0] >= WINDOW_S:
            _, calls, extra = self._buckets.popleft()
            self._calls -= int(calls)
            self._extra -= int(extra)
        if not self._buckets or now_s - self._buckets[-1][0] >= BUCKET_S:
            self._buckets.append([now_s, 0, 0])
        return self._buckets[-1]


class HedgeRate:
    """Of one group, and one kind of calls."""

    def __init__(self, config: HedgingConfig) -> None:
        self._config = config
        self._times = FirstTokenTimes()
        self._extra = ExtraCalls(config.extra_calls_max)
        self._stretch = 1.0

    def called(self, now_s: float) -> float | None:
        """Counts a call; how long to wait for it before another is asked. None: not known yet."""
        self._extra.called(now_s)
        quantile_s = self._times.lower_quantile(self._config.quantile)
        return None if quantile_s is None else max(self._config.delay_min_s, quantile_s * self._stretch)

    def may_hedge(self, now_s: float) -> bool:
        """Counts the extra call when it is allowed."""
        allowed = self._extra.take(now_s)
        self._stretch = max(1.0, min(STRETCH_MAX, self._stretch * (SHORTER if allowed else LONGER)))
        return allowed

    def took(self, now_s: float, duration_s: float) -> None:
        """The time of a call, or the time after which it was given up."""
        self._times.add(now_s, duration_s)
