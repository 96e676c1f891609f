"""usage-based-routing, v1 and v2: the one that is used least of this minute's tpm and rpm."""

from collections.abc import Sequence
from random import Random

from meshgate_router.strategies.candidate import Candidate, shuffled


def usage_based(candidates: Sequence[Candidate], random: Random) -> Sequence[Candidate]:
    """The used share of its limits, where every candidate has one; else tokens, else requests."""
    limited = all(each.deployment.tpm or each.deployment.rpm for each in candidates)
    return sorted(shuffled(candidates, random), key=_share if limited else _amount)


def _share(candidate: Candidate) -> tuple[float, float]:
    tpm, rpm = candidate.deployment.tpm, candidate.deployment.rpm
    tokens = candidate.minute_tokens / tpm if tpm else 0.0
    requests = candidate.minute_requests / rpm if rpm else 0.0
    return max(tokens, requests), 0.0


def _amount(candidate: Candidate) -> tuple[float, float]:
    return candidate.minute_tokens, candidate.minute_requests
