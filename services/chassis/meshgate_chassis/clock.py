"""Time as a dependency, so that a test can own it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where a service gets its time from."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    async def sleep(self, duration_s: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's time."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)
