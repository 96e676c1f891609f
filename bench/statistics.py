"""Exact percentiles, and what several turns say together. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above (nearest rank); nan of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum over the turns; `turns`: all, in order."""

    turns: tuple[float, ...]

    @property
    def low(self) -> float:
        return min(self.turns)

    @property
    def high(self) -> float:
        return max(self.turns)

    @property
    def median(self) -> float:
        ordered = sorted(self.turns)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spreads(turns: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Figure by figure over all turns that have it; what could not be measured (nan) is left out."""
    names = dict.fromkeys(name for turn in turns for name in turn)
    found = {name: tuple(t[name] for t in turns if name in t and not math.isnan(t[name])) for name in names}
    return {name: Spread(values) for name, values in found.items() if values}
