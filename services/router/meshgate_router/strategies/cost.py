"""cost-based-routing: the cheapest for this request; whose price is not known comes last."""

from collections.abc import Sequence
from random import Random

from meshgate_router.strategies.candidate import Candidate, shuffled


def cost_based(candidates: Sequence[Candidate], random: Random) -> Sequence[Candidate]:
    """Equals by chance."""
    return sorted(
        shuffled(candidates, random), key=lambda each: (each.cost_nanos is None, each.cost_nanos or 0)
    )
