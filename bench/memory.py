"""Memory of processes over the requests of a run, and whether it is flat. `judge` is pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import processes

FLAT = 0.05  # of the mean, both ways
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one process over the part of a run that is judged. Bytes.

    `drift`: what the straight line through the samples rises over that part, of their mean. `spread`: the
    sample that is farthest from the median, of the median.
    """

    samples: int
    first: int
    last: int
    slope_per_10k: float
    drift: float
    spread: float

    @property
    def flat(self) -> bool:
        return self.samples >= 3 and abs(self.drift) <= FLAT and self.spread <= FLAT


@dataclass(slots=True)
class MemoryWatch:
    """`samples`: (requests so far, name -> (proportional, resident) bytes)."""

    roots: Mapping[str, int]
    samples: list[tuple[int, dict[str, tuple[int, int]]]] = field(default_factory=list)

    def look(self, requests: int) -> None:
        self.samples.append((requests, processes.memory_bytes(self.roots)))

    def trends(self, since: int) -> dict[str, tuple[Trend, Trend]]:
        """By process, of what is used from request `since` on: (proportional, resident)."""
        samples = sorted((one for one in self.samples if one[0] >= since), key=lambda one: one[0])
        return {
            name: (
                judge([(requests, memory[name][0]) for requests, memory in samples]),
                judge([(requests, memory[name][1]) for requests, memory in samples]),
            )
            for name in self.roots
        }

    def record(self) -> list[dict[str, Any]]:
        """For JSON: MB, proportional and resident."""
        return [
            {"requests": requests}
            | {name: [round(size / MEGABYTE, 2) for size in sizes] for name, sizes in sorted(memory.items())}
            for requests, memory in self.samples
        ]


def judge(samples: Sequence[tuple[int, int]]) -> Trend:
    """(requests, bytes), in order. Least squares."""
    if len(samples) < 2:
        return Trend(len(samples), 0, 0, 0.0, 0.0, 0.0)
    count = len(samples)
    middle = sum(requests for requests, _ in samples) / count
    mean = sum(size for _, size in samples) / count
    over = sum((requests - middle) ** 2 for requests, _ in samples)
    slope = sum((requests - middle) * (size - mean) for requests, size in samples) / over if over else 0.0
    ordered = sorted(size for _, size in samples)
    median = ordered[count // 2]
    farthest = max(abs(ordered[0] - median), abs(ordered[-1] - median))
    drift = slope * (samples[-1][0] - samples[0][0]) / mean if mean else 0.0
    first, last = samples[0][1], samples[-1][1]
    return Trend(count, first, last, slope * 10_000, drift, farthest / median if median else 0.0)


def trend_record(trend: Trend) -> dict[str, Any]:
    """For JSON."""
    rounded = {name: round(value, 4) for name, value in asdict(trend).items()}
    return {**rounded, "flat": trend.flat}
