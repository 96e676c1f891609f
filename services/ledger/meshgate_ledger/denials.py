"""What a limit that refuses says. Pure.

The words are those that clients of LiteLLM look for. Numbers of a refused budget are in nano-USD.
"""

from datetime import UTC, datetime

from meshgate_ledger.account_ids import split_account
from meshgate_ledger.limits import LimitNow
from meshgate_ledger.records import Denial, DenialReason, usd

RETRY_PARALLEL_S = 1.0  # nobody knows when a call under way ends
LIMIT_TYPES = {"requests": "requests", "tokens": "tokens", "parallel": "max_parallel_requests"}


def limit_denial(limit: LimitNow, hold_nanos: int, hold_tokens: int, now: datetime) -> Denial:
    """Why a call was refused that needed this much of the limit. `limit.used`: before the call."""
    if limit.metric == "spend":
        return _budget_denial(limit, hold_nanos)
    reason = DenialReason.PARALLEL_LIMITED if limit.metric == "parallel" else DenialReason.RATE_LIMITED
    kind, identity, model = split_account(limit.account_id)
    who = f"{kind}: {identity}" if identity else kind
    needs = f", this call: up to {hold_tokens}" if limit.metric == "tokens" else ""
    resets = ""
    retry_after_s = RETRY_PARALLEL_S
    if limit.ends_at is not None:
        resets = f" Limit resets at: {limit.ends_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
        retry_after_s = max((limit.ends_at - now).total_seconds(), 0.001)
    return Denial(
        reason,
        f"Rate limit exceeded for {who}.{f' Model: {model}.' if model else ''} "
        f"Limit type: {LIMIT_TYPES[limit.metric]}. Current limit: {limit.maximum}, "
        f"Remaining: {limit.remaining}{needs}.{resets}",
        limit=limit,
        retry_after_s=retry_after_s,
    )


def _budget_denial(limit: LimitNow, hold_nanos: int) -> Denial:
    kind, identity, model = split_account(limit.account_id)
    assert limit.maximum is not None
    owner = "" if kind in {"key", "gateway", "master", "open"} else f" {kind.capitalize()}={identity}"
    part = f" Model={model}" if model else ""
    return Denial(
        DenialReason.BUDGET_EXCEEDED,
        f"Budget exceeded: Budget has been exceeded!{owner}{part} Current cost: {usd(limit.used)}, "
        f"Max budget: {usd(limit.maximum)}, this call: up to {usd(hold_nanos)} USD.",
        spend_nanos=limit.used,
        max_budget_nanos=limit.maximum,
        limit=limit,
    )
