"""From features to a decision: the fitted score, and the threshold in use. Pure, but for its counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_cache.semantic.alignment import PERFECT, Alignment
from meshgate_cache.semantic.coefficients import INTERCEPT, THRESHOLDS, WEIGHTS
from meshgate_cache.semantic.features import FEATURES, features
from meshgate_cache.semantic.reading import Facts
from meshgate_cache.semantic.verifier import Verdict

NEVER: Final = 2.0  # above every score
EXPLAINED: Final = 0.5
REPORTS_MIN: Final = 2  # one report may be a mistake
_WEIGHTS: Final = tuple(WEIGHTS.get(name, 0.0) for name in FEATURES)


def score(a: Facts, b: Facts, verdict: Verdict, cosine: float, alignment: Alignment) -> float:
    """0 to 1; 0 when a fact differs, whatever the vectors say. Equal wording counts as perfectly aligned.

    Above EXPLAINED only what is explained: nearness of vectors takes no other pair there.
    """
    if verdict.refused:
        return 0.0
    values = features(a, b, verdict, cosine, PERFECT if verdict.same else alignment)
    likely = 1 / (1 + math.exp(-INTERCEPT - sum(map(float.__mul__, _WEIGHTS, values))))
    return EXPLAINED + (1 - EXPLAINED) * likely if verdict.explained else EXPLAINED * likely


def threshold_for(false_hit_rate_max: float, table: Sequence[tuple[float, float]] = THRESHOLDS) -> float:
    """The lowest calibrated threshold that keeps the rate; NEVER when none does."""
    return min((at for rate, at in table if rate <= false_hit_rate_max), default=NEVER)


@dataclass(slots=True)
class Threshold:
    """The threshold in use. Learns: when more hits are reported than are allowed, the next stricter one.

    Only upwards: a lower one is a decision of the operator. Counts since start.
    """

    false_hit_rate_max: float
    hit_count: int = 0
    report_count: int = 0
    _steps: int = 0

    @property
    def value(self) -> float:
        """A score below it is a miss."""
        stricter = sorted({at for _, at in THRESHOLDS if at >= threshold_for(self.false_hit_rate_max)})
        return stricter[self._steps] if self._steps < len(stricter) else NEVER

    def hit(self) -> None:
        """A semantic hit was served."""
        self.hit_count += 1

    def reported(self) -> None:
        """One was wrong."""
        self.report_count += 1
        allowed = self.hit_count * self.false_hit_rate_max
        if self.report_count >= REPORTS_MIN and self.report_count > allowed:
            self._steps += 1
            self.hit_count = self.report_count = 0
