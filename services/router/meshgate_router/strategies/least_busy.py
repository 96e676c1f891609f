"""least-busy: the fewest calls under way in this process."""

from collections.abc import Sequence
from random import Random

from meshgate_router.strategies.candidate import Candidate, shuffled


def least_busy(candidates: Sequence[Candidate], random: Random) -> Sequence[Candidate]:
    """Equals by chance."""
    return sorted(shuffled(candidates, random), key=lambda each: each.in_flight)
