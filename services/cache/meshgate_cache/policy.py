"""What may be stored, for how long, and what is still fresh. Pure.

Only a whole answer is stored: every choice ended by itself and says something. Errors, answers cut by a
limit or a filter, and broken streams would be replayed as if they were right.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

WHOLE_FINISH_REASONS: Final = frozenset({"stop", "tool_calls", "function_call"})
TTL_S_DEFAULT: Final = {"redis": 60.0, "memory": 600.0}  # by backend, as in LiteLLM
TTL_S_MAX: Final = 30 * 24 * 3_600.0


class Refusal(StrEnum):
    """Why an answer was not stored."""

    DISABLED = "DISABLED"
    EMPTY = "EMPTY"
    FINISH_REASON = "FINISH_REASON"
    TOO_LARGE = "TOO_LARGE"


def refusal(
    finish_reasons: Sequence[str], *, empty: bool, size_bytes: int, size_bytes_max: int
) -> Refusal | None:
    """Why this answer must not be stored; None when it may. `empty`: a choice says nothing."""
    if not finish_reasons:
        return Refusal.EMPTY
    if not WHOLE_FINISH_REASONS.issuperset(finish_reasons):
        return Refusal.FINISH_REASON
    if empty:
        return Refusal.EMPTY
    if size_bytes > size_bytes_max:
        return Refusal.TOO_LARGE
    return None


def ttl_s(requested_s: float | None, configured_s: float | None, backend: str) -> float:
    """How long to keep an answer: as asked, as configured, or the backend's default; 30 days at most."""
    if requested_s is not None:
        return min(requested_s, TTL_S_MAX)
    if configured_s is not None:
        return min(configured_s, TTL_S_MAX)
    return TTL_S_DEFAULT[backend]


def is_fresh(created_ns: int, now_ns: int, max_age_s: float | None) -> bool:
    """True for an answer younger than `max_age_s`. None: of any age."""
    return max_age_s is None or now_ns - created_ns < max_age_s * 1e9
