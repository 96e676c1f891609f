"""What strategies choose from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from meshgate_chassis.config.model import Deployment


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment as it is now, seen from this process.

    `latency_s`: mean of its latest calls, of a stream until the first token, else for each answer token;
    None: not known. `minute_requests`, `minute_tokens`: its use in the current minute. `cost_nanos`: what
    this request would cost there, in nano-USD; None: its price is not known.
    """

    deployment: Deployment
    in_flight: int = 0
    latency_s: float | None = None
    minute_requests: int = 0
    minute_tokens: int = 0
    cost_nanos: int | None = None


Strategy: TypeAlias = Callable[[Sequence[Candidate], Random], Sequence[Candidate]]
"""All of the candidates, best first: the next one is asked when the one before it is at its limits."""


def shuffled(candidates: Sequence[Candidate], random: Random) -> list[Candidate]:
    """In any order, so that ties are broken by chance."""
    return random.sample(candidates, len(candidates))
