"""Takes a call out of a deployment's limits, and gives back what it did not use: in this process alone.

Invariant: between `take` and `settle` a call counts with what was reserved for it, afterwards with what it
used, always in the windows it was taken from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from meshgate_chassis.clock import Clock
from meshgate_router.limit_rules import Ask

ACCOUNTS_MAX: Final = 10_000  # remembered


@dataclass(frozen=True, slots=True)
class Taken:
    """`position`: whose limits it fits in. `indexes`: the windows it was taken from, by name. `shared`: it
    counts for all replicas."""

    position: int
    ask: Ask
    indexes: Mapping[str, int]
    lease_id: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Full:
    """Nobody has room. `wait_s`: until the first window ends; None: only calls under way stand in the way."""

    wait_s: float | None


class Limits(Protocol):
    """Where calls are counted."""

    async def take(self, asks: Sequence[Ask], lease_id: str, hold_s: float) -> Taken | Full:
        """The first of the asks that fits. `hold_s`: a call that was not settled is over after that."""

    def settle(self, taken: Taken, corrections: Mapping[str, int]) -> None:
        """The call is over."""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a window is used."""

    name: str
    used: int
    limit: int
    left_s: float


class LocalLimits:
    """Implements Limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, dict[str, tuple[int, int]]] = {}  # account -> name -> index, used
        self._parallel: dict[str, dict[str, float]] = {}  # account -> lease -> when it is over

    async def take(self, asks: Sequence[Ask], lease_id: str, hold_s: float) -> Taken | Full:
        now_s = self._now_s()
        waits: list[float | None] = []
        for position, ask in enumerate(asks):
            wait_s = self._wait_s(ask, now_s)
            if wait_s == 0:
                return self.note(Taken(position, ask, {}, lease_id), hold_s)
            waits.append(wait_s)
        known = [wait_s for wait_s in waits if wait_s is not None]
        return Full(None if len(known) < len(waits) else min(known, default=None))

    def note(self, taken: Taken, hold_s: float) -> Taken:
        """Counts a call, whether it fits or not."""
        now_s, ask = self._now_s(), taken.ask
        used = self._used(ask.account)
        indexes = {}
        for window in ask.windows:
            index = indexes[window.name] = window.index(now_s)
            used[window.name] = (index, self._in_window(used, window.name, index) + window.amount)
        if ask.parallel_max is not None:
            self._parallel.setdefault(ask.account, {})[taken.lease_id] = now_s + hold_s
        return Taken(taken.position, ask, indexes, taken.lease_id, taken.shared)

    def settle(self, taken: Taken, corrections: Mapping[str, int]) -> None:
        used = self._used(taken.ask.account)
        for name, index in taken.indexes.items():
            if used.get(name, (None, 0))[0] == index:
                used[name] = (index, max(0, used[name][1] + corrections.get(name, 0)))
        self._parallel.get(taken.ask.account, {}).pop(taken.lease_id, None)

    def uses(self, ask: Ask) -> Sequence[Use]:
        """How much of its limits this process used."""
        now_s, used = self._now_s(), self._windows.get(ask.account, {})
        uses = [
            Use(
                each.name, self._in_window(used, each.name, each.index(now_s)), each.limit, each.left_s(now_s)
            )
            for each in ask.windows
        ]
        if ask.parallel_max is not None:
            under_way = len(self._parallel.get(ask.account, {}))
            uses.append(Use("max_parallel_requests", under_way, ask.parallel_max, 0.0))
        return uses

    def _wait_s(self, ask: Ask, now_s: float) -> float | None:
        """0: it fits. None: as soon as a call under way is over."""
        used = self._used(ask.account)
        full = [
            window.left_s(now_s)
            for window in ask.windows
            if not window.fits(self._in_window(used, window.name, window.index(now_s)))
        ]
        if full:
            return max(full)
        if ask.parallel_max is None:
            return 0.0
        under_way = self._parallel.get(ask.account, {})
        if len(under_way) >= ask.parallel_max:
            for lease_id in [each for each, end_s in under_way.items() if end_s <= now_s]:
                del under_way[lease_id]
        return 0.0 if len(under_way) < ask.parallel_max else None

    def _used(self, account: str) -> dict[str, tuple[int, int]]:
        if account not in self._windows and len(self._windows) >= ACCOUNTS_MAX:
            forgotten = next(iter(self._windows))
            del self._windows[forgotten]
            self._parallel.pop(forgotten, None)
        return self._windows.setdefault(account, {})

    def _in_window(self, used: Mapping[str, tuple[int, int]], name: str, index: int) -> int:
        known = used.get(name)
        return known[1] if known is not None and known[0] == index else 0

    def _now_s(self) -> float:
        return self._clock.now_ns() / 1e9
