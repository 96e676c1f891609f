"""Whether delays drift over a run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.statistics import percentile

DRIFT = {"p50": 0.25, "p99": 0.50}  # of the first half's median: more is a drift
DRIFT_MS_MIN = {"p50": 2.0, "p99": 10.0}  # less than that is none, however small the delays are


@dataclass(frozen=True, slots=True)
class Slice:
    """Delays of the chunks of a part of a run, milliseconds."""

    chunks: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    most_ms: float

    @staticmethod
    def of(delays_ns: Sequence[int]) -> "Slice":
        shares = (round(percentile(delays_ns, share) / 1e6, 3) for share in (0.5, 0.9, 0.99, 1.0))
        return Slice(len(delays_ns), *shares)


def drifted(slices: Sequence[Slice]) -> list[str]:
    """What grew from the first half of the slices to the second; empty: nothing. A slice in the middle counts
    for neither.
    """
    half = len(slices) // 2
    if half == 0 or not all(one.chunks for one in slices):
        return ["too few slices with chunks to tell"]
    found = []
    for name, share in DRIFT.items():
        before = median(getattr(one, f"{name}_ms") for one in slices[:half])
        after = median(getattr(one, f"{name}_ms") for one in slices[-half:])
        if after - before > max(share * before, DRIFT_MS_MIN[name]):
            found.append(f"{name} {before:.1f} -> {after:.1f} ms")
    return found
