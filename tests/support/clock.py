"""A clock that a test owns."""

import asyncio


class ManualClock:
    """Implements meshgate_chassis.clock.Clock; time moves only when `advance` or `sleep` says so."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_s = 0.0
        self.slept_s: list[float] = []

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, duration_s: float) -> None:
        """Moves both clocks on."""
        self._now_ns += int(duration_s * 1e9)
        self._monotonic_s += duration_s

    async def sleep(self, duration_s: float) -> None:
        """Advances at once, and remembers how long the caller wanted to wait."""
        self.slept_s.append(duration_s)
        self.advance(duration_s)
        await asyncio.sleep(0)
