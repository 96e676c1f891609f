"""What a call will be charged, before the ledger has posted it, and whether its answer may go first. Pure.

The grant told the ledger's prices; the arithmetic is the ledger's own. The posting has the last word: a
difference is logged (settlement.py).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from meshgate_chassis.price import TOKENS_MAX, Cost, Price, PriceTier, Rates, TokenCounts, consistent, cost_of
from meshgate_edge.money.rate_limits import Limit
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

ROOM: Final = 16  # calls of this size that must still fit in each limit


def known_cost(prices: Sequence[pb.DeploymentPrice], request: pb.SettleSpendRequest) -> Cost | None:
    """None: only the ledger can tell."""
    if request.legs or request.offline:
        return None
    if request.outcome == pb.OUTCOME_CACHE_HIT:
        return Cost()
    told = request.tokens
    counts = (
        told.prompt_tokens,
        told.completion_tokens,
        told.cached_tokens,
        told.cache_creation_tokens,
        told.reasoning_tokens,
        told.audio_prompt_tokens,
        told.audio_completion_tokens,
    )
    if min(counts) < 0 or max(counts) > TOKENS_MAX:
        return None
    if not told.prompt_tokens and not told.completion_tokens:
        return Cost()  # nobody answered, and not even the request has its price
    price = _price_of(prices, request)
    return None if price is None else cost_of(price, consistent(TokenCounts(*counts)))


def has_room(
    limits: Iterable[Limit], remaining_budget_nanos: int | None, held_nanos: int, held_tokens: int
) -> bool:
    """True when no limit of the caller is so near that its next call could miss what this one's posting
    gives back: the hold, the tokens, the slot."""
    if remaining_budget_nanos is not None and remaining_budget_nanos < ROOM * held_nanos:
        return False
    needed = {"tokens": held_tokens, "max_parallel_requests": 1}
    return all(limit.remaining >= ROOM * needed.get(limit.type, 0) for limit in limits)


def _price_of(prices: Sequence[pb.DeploymentPrice], request: pb.SettleSpendRequest) -> Price | None:
    served_by = (request.deployment_id, request.provider, request.upstream_model)
    for told in prices:
        if (told.deployment_id, told.provider, told.upstream_model) == served_by:
            return price_told(told)
    return None


def price_told(told: pb.DeploymentPrice) -> Price:
    """As the ledger has it."""
    tiers = tuple(PriceTier(tier.prompt_tokens_above, _rates(tier.rates)) for tier in told.tiers)
    return Price(_rates(told.rates), "told", tiers)


def _rates(told: pb.Rates) -> Rates:
    return Rates(
        input=told.input,
        output=told.output,
        cache_read=told.cache_read if told.HasField("cache_read") else None,
        cache_creation=told.cache_creation if told.HasField("cache_creation") else None,
        reasoning=told.reasoning if told.HasField("reasoning") else None,
        request_nanos=told.request_usd_nanos,
        audio_input=told.audio_input if told.HasField("audio_input") else None,
        audio_output=told.audio_output if told.HasField("audio_output") else None,
    )
