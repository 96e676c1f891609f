"""simple-shuffle: at random, weighted by `weight`, else by `rpm`, else by `tpm`, else evenly."""

from collections.abc import Sequence
from random import Random

from meshgate_router.strategies.candidate import Candidate, shuffled


def simple_shuffle(candidates: Sequence[Candidate], random: Random) -> Sequence[Candidate]:
    """Draws one after the other; who has no weight comes last."""
    left, ranked = list(candidates), list[Candidate]()
    while len(left) > 1:
        weighed = weights(left)
        if not any(weighed):
            return [*ranked, *shuffled(left, random)]
        (drawn,) = random.choices(range(len(left)), weighed)
        ranked.append(left.pop(drawn))
    return [*ranked, *left]


def weights(candidates: Sequence[Candidate]) -> Sequence[float]:
    """The first measure that any candidate has counts for all; who lacks it is only taken if all do."""
    deployments = [each.deployment for each in candidates]
    for values in (
        [each.weight for each in deployments],
        [each.rpm for each in deployments],
        [each.tpm for each in deployments],
    ):
        known = [float(value or 0) for value in values]
        if any(known):
            return known
    return [1.0] * len(candidates)
