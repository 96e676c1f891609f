"""Whether a call may be hedged where a budget applies: only when its hold pays for the second call. Pure.

Nothing more is held, and nobody is asked: the rival's prompt and first words are paid for from what is held
for the answer. While that comes the hold is raised again, as for any stream (top_up.py); where no more is
granted the answer ends. So a hedge costs no time, and never passes a budget.
"""

from typing import Final

from meshgate_chassis.price import highest_cost
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.bill import spend_leg
from meshgate_edge.money.cost import price_told
from meshgate_edge.tokens.counter import TokenCounter

HEDGE_LOST: Final = "hedge_lost"  # of a leg
# Of each of the two calls.
FIRST_OUTPUT_TOKENS: Final = 64


def pays_for_hedge(run: CallRun, *, may_hedge: bool) -> bool:
    """False: nobody besides may be asked. Near the end of a budget no more would be granted, and what is
    resumed may have used some of its hold."""
    if run.info.remaining_budget_usd_nanos is None:
        return True
    if not may_hedge or run.resume or run.is_near_budget_end:
        return False
    if not run.held_usd_nanos:
        return True  # it costs nothing
    each = [highest_cost(price_told(told), run.prompt_tokens, FIRST_OUTPUT_TOKENS) for told in run.prices]
    return bool(each) and 2 * max(cost.total for cost in each) <= run.held_usd_nanos


def covered_beside_loser(run: CallRun, counter: TokenCounter) -> int | None:
    """Output tokens of a hedge's winner that the hold pays for besides the loser. None: there is no loser.
    0: it brought more than its first words before it was given up, so the ledger is asked before anything is
    sent."""
    lost = [spend_leg(leg, run, counter) for leg in run.legs if leg.reason == HEDGE_LOST]
    if not lost:
        return None
    most = max(leg.tokens.completion_tokens for leg in lost)
    return FIRST_OUTPUT_TOKENS if most <= FIRST_OUTPUT_TOKENS else 0
