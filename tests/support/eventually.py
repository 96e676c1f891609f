"""Waiting for something to become true, without sleeping blindly."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
DEADLINE_S = 20.0
INTERVAL_S = 0.01


async def eventually(probe: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Polls `probe` (plain or async) until it returns something true; fails the test after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = probe()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(INTERVAL_S)
