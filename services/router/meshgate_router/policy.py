"""Which deployment of a group gets the next call: pure; chance comes in as an argument.

simple-shuffle: at random, weighted by `weight`, else by `rpm`, else by `tpm`, else evenly.
"""

from collections.abc import Sequence
from random import Random

from meshgate_chassis.config.model import Deployment


def choose(candidates: Sequence[Deployment], random: Random) -> Deployment:
    """One of the candidates, of which there is at least one."""
    assert candidates, "there must be a deployment to choose"
    if len(candidates) == 1:
        return candidates[0]
    return random.choices(candidates, weights(candidates))[0]


def weights(candidates: Sequence[Deployment]) -> Sequence[float]:
    """The first measure that any candidate has counts for all; who lacks it is only taken if all do."""
    for values in (
        [deployment.weight for deployment in candidates],
        [deployment.rpm for deployment in candidates],
        [deployment.tpm for deployment in candidates],
    ):
        known = [float(value or 0) for value in values]
        if any(known):
            return known
    return [1.0] * len(candidates)
