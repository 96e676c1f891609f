"""The deadline of the work at hand, carried by the context: Python gRPC does not propagate it.

A server call or an HTTP request opens a scope; every outgoing call below it gets what is left, less
what the caller needs to still answer. Nothing is sent when too little is left to be worth it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from meshgate_chassis.errors import Code, MeshError

_deadline_monotonic_s: ContextVar[float | None] = ContextVar("meshgate_deadline", default=None)


@dataclass(frozen=True, slots=True)
class DeadlineRules:
    """`return_overhead_s`: kept back so that we can still answer. `useful_s`: with less, do not even ask."""

    return_overhead_s: float = 0.020
    useful_s: float = 0.005


DEFAULT_RULES = DeadlineRules()


@contextmanager
def deadline_scope(timeout_s: float) -> Iterator[None]:
    """Limits the work inside; a surrounding scope that ends sooner wins."""
    end = time.monotonic() + timeout_s
    outer = _deadline_monotonic_s.get()
    token = _deadline_monotonic_s.set(end if outer is None else min(end, outer))
    try:
        yield
    finally:
        _deadline_monotonic_s.reset(token)


@contextmanager
def detached_scope(timeout_s: float) -> Iterator[None]:
    """A deadline of its own, whatever surrounds it: for work that must outlive its caller."""
    token = _deadline_monotonic_s.set(time.monotonic() + timeout_s)
    try:
        yield
    finally:
        _deadline_monotonic_s.reset(token)


def set_deadline(timeout_s: float) -> None:
    """A deadline of its own for the rest of this task: for generators, which may be closed in another one."""
    _deadline_monotonic_s.set(time.monotonic() + timeout_s)


def remaining_s() -> float | None:
    """Seconds left, never negative; None outside any scope."""
    end = _deadline_monotonic_s.get()
    return None if end is None else max(0.0, end - time.monotonic())


def outgoing_timeout_s(limit_s: float | None, rules: DeadlineRules = DEFAULT_RULES) -> float:
    """The timeout for a call to be made now: the shorter of `limit_s` and what is left.

    Raises DEADLINE_EXCEEDED/DEADLINE_TOO_CLOSE when too little is left, and
    INTERNAL/DEADLINE_MISSING when neither is known: a call without a deadline is a bug.
    """
    left = remaining_s()
    if left is None:
        if limit_s is None:
            raise MeshError(Code.INTERNAL, "DEADLINE_MISSING", "a call was made without a deadline")
        return limit_s
    usable = left - rules.return_overhead_s
    if usable < rules.useful_s:
        raise MeshError(
            Code.DEADLINE_EXCEEDED,
            "DEADLINE_TOO_CLOSE",
            "too little time is left to make this call",
        )
    return usable if limit_s is None else min(usable, limit_s)
