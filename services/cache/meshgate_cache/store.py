"""Where answers are kept: the interface of all stores, and the one in memory.

Keys are store keys (`keys.store_key`). `remaining_s` is the caller's time left: a store takes no longer,
and raises UNAVAILABLE/STORE_UNAVAILABLE when it cannot answer within it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from meshgate_cache.entry import CacheEntry
from meshgate_cache.keys import is_store_key_under
from meshgate_chassis.clock import Clock

ENTRY_OVERHEAD_BYTES = 600  # measured: key, entry, record and their places in the dictionary


class Store(Protocol):
    """Keeps entries until their time is over, or until it needs their place."""

    @property
    def backend(self) -> str:
        """memory or redis."""

    async def get(self, key: str, remaining_s: float) -> CacheEntry | None:
        """The entry, or None. A value that is no entry of this key is None as well."""

    async def put(self, key: str, entry: CacheEntry, ttl_s: float, remaining_s: float) -> None:
        """Keeps the entry for `ttl_s`; replaces an earlier one."""

    async def delete(self, keys: Sequence[str], remaining_s: float) -> int:
        """Deletes these; returns how many there were."""

    async def clear(self, prefix: str, remaining_s: float) -> int:
        """Deletes all entries under a `keys.store_prefix`; returns how many there were."""

    async def reachable(self, remaining_s: float) -> bool:
        """Asks the store whether it answers."""


@dataclass(frozen=True, slots=True)
class _Record:
    entry: CacheEntry
    expires_monotonic_s: float
    size_bytes: int


class MemoryStore:
    """Keeps entries in this process, the most recently used ones, within both limits.

    An expired entry is dropped when it is met; until then it counts, and goes first by disuse.
    """

    def __init__(self, clock: Clock, *, bytes_max: int, entries_max: int) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._entries_max = entries_max
        self._records: OrderedDict[str, _Record] = OrderedDict()  # least recently used first
        self._size_bytes = 0

    @property
    def backend(self) -> str:
        return "memory"

    @property
    def entry_count(self) -> int:
        """Entries kept, including expired ones that nobody met."""
        return len(self._records)

    @property
    def size_bytes(self) -> int:
        """What they take, about; never above the limit."""
        return self._size_bytes

    async def get(self, key: str, remaining_s: float) -> CacheEntry | None:  # noqa: ARG002 - never waits
        record = self._records.get(key)
        if record is None:
            return None
        if record.expires_monotonic_s <= self._clock.monotonic_s():
            self._drop(key)
            return None
        self._records.move_to_end(key)
        return record.entry

    async def put(
        self,
        key: str,
        entry: CacheEntry,
        ttl_s: float,
        remaining_s: float,  # noqa: ARG002 - never waits
    ) -> None:
        self._drop(key)
        size_bytes = entry.size_bytes + ENTRY_OVERHEAD_BYTES
        if size_bytes > self._bytes_max:
            return
        while self._records and not self._fits(size_bytes):
            self._drop(next(iter(self._records)))
        self._records[key] = _Record(entry, self._clock.monotonic_s() + ttl_s, size_bytes)
        self._size_bytes += size_bytes

    async def delete(self, keys: Sequence[str], remaining_s: float) -> int:  # noqa: ARG002 - never waits
        return sum(self._drop(key) for key in keys)

    async def clear(self, prefix: str, remaining_s: float) -> int:
        names = [name for name in self._records if is_store_key_under(prefix, name)]
        return await self.delete(names, remaining_s)

    async def reachable(self, remaining_s: float) -> bool:  # noqa: ARG002 - never waits
        return True

    def _fits(self, size_bytes: int) -> bool:
        return len(self._records) < self._entries_max and self._size_bytes + size_bytes <= self._bytes_max

    def _drop(self, key: str) -> bool:
        """True when there was a live entry to drop."""
        record = self._records.pop(key, None)
        if record is None:
            return False
        self._size_bytes -= record.size_bytes
        return record.expires_monotonic_s > self._clock.monotonic_s()
