"""Limits of accounts: values, and what they say to a caller. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

Metric = Literal["spend", "requests", "tokens", "parallel"]


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit as it is configured. `period`: see periods.py; '' for PARALLEL.

    `maximum`: nano-USD for spend; None: only soft.
    """

    metric: Metric
    period: str
    maximum: int | None
    soft_maximum: int | None = None


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A limit and what is used of it. `pending_nanos`: held besides, for spend."""

    spec: LimitSpec
    used: int
    pending_nanos: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class LimitNow(NamedTuple):
    """A limit as a decision left it. `used`: with what is held. `maximum` None: only soft."""

    account_id: str
    metric: str
    period: str
    maximum: int | None
    used: int
    soft_maximum: int | None = None
    ends_at: datetime | None = None

    @property
    def remaining(self) -> int | None:
        """Never negative; None: not limited."""
        return None if self.maximum is None else max(self.maximum - self.used, 0)

    @property
    def soft_exceeded(self) -> bool:
        return self.soft_maximum is not None and self.used >= self.soft_maximum


def tightest_first(limits: Sequence[LimitNow]) -> Sequence[LimitNow]:
    """By the share that is left; those that are only soft last."""
    return sorted(limits, key=_share_left) if len(limits) > 1 else limits


def remaining_budget(limits: Sequence[LimitNow]) -> int | None:
    """The smallest budget that is left, in nano-USD; None: there is none."""
    left = [each.remaining for each in limits if each.metric == "spend" and each.remaining is not None]
    return min(left, default=None)


def _share_left(limit: LimitNow) -> float:
    if limit.remaining is None:
        return 2.0
    return limit.remaining / limit.maximum if limit.maximum else 0.0
