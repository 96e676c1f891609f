"""Whatever the strategy: who costs more than the budget still has steps back behind those it can pay for.

Nobody is left out: whether a call may be made is the ledger's to say.
"""

from collections.abc import Sequence

from meshgate_router.strategies.candidate import Candidate


def payable_first(ranked: Sequence[Candidate], remaining_nanos: int | None) -> Sequence[Candidate]:
    """`remaining_nanos`: None: there is no budget. An unknown price counts as payable: it cannot be told."""
    if remaining_nanos is None:
        return ranked
    return sorted(ranked, key=lambda each: (each.cost_nanos or 0) > remaining_nanos)
