"""latency-based-routing: the lowest mean latency; who is not known yet is tried first.

Everybody within `buffer` of the best is as good as the best, so that load spreads.
"""

from collections.abc import Sequence
from random import Random

from meshgate_router.strategies.candidate import Candidate, Strategy, shuffled


def latency_based(buffer: float) -> Strategy:
    """`buffer`: a share of the best latency, 0 or more."""

    def rank(candidates: Sequence[Candidate], random: Random) -> Sequence[Candidate]:
        known = [each.latency_s or 0.0 for each in candidates]
        good_s = min(known, default=0.0) * (1.0 + buffer)
        return sorted(shuffled(candidates, random), key=lambda each: max(good_s, each.latency_s or 0.0))

    return rank
