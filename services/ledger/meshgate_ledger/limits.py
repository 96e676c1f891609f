"""Limits of accounts: values, and what they say to a caller. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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
