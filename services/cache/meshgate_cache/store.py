"""Where answers are kept: the interface of all stores, and the one in memory.

Keys are store keys (`keys.store_key`). `remaining_s` is the caller's time left: a store takes no longer,
and raises UNAVAILABLE/STORE_UNAVAILABLE when it cannot answer within it.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from meshgate_cache.claims import NOTHING, UNSHARED_S, Claim, Look
from meshgate_cache.entry import CacheEntry
from meshgate_cache.keys import is_store_key_under, namespace_of
from meshgate_chassis.clock import Clock

ENTRY_OVERHEAD_BYTES = 600  # measured: key, entry, record and their places in the dictionary
CLAIMS_MAX = 100_000  # in memory; the oldest goes first


@dataclass(frozen=True, slots=True)
class Put:
    """An entry to keep for `ttl_s` under a store key."""

    key: str
    entry: CacheEntry
    ttl_s: float


@dataclass(frozen=True, slots=True)
class ServerState:
    """Redis' INFO, and its CLIENT LIST unless it does not tell."""

    info: Mapping[str, Any]
    clients: Sequence[Mapping[str, Any]] | None


class Store(Protocol):
    """Keeps entries until their time is over, or until it needs their place."""

    @property
    def backend(self) -> str:
        """memory or redis."""

    async def get(self, key: str, remaining_s: float) -> CacheEntry | None:
        """The entry, or None. A value that is no entry of this key is None as well."""

    async def get_many(self, keys: Sequence[str], remaining_s: float) -> list[CacheEntry | None]:
        """As `get`, of each, in one round trip."""

    async def put(self, key: str, entry: CacheEntry, ttl_s: float, remaining_s: float) -> None:
        """Keeps the entry for `ttl_s`; replaces an earlier one, or a claim."""

    async def put_many(self, puts: Sequence[Put], remaining_s: float) -> None:
        """As `put`, of each, in one round trip."""

    async def get_or_claim(self, claim: Claim, remaining_s: float) -> Look:
        """The entry; else who makes it, which is the claim's own token if nobody did. One round trip."""

    async def renew(self, claims: Sequence[Claim], remaining_s: float) -> int:
        """Those that are still held get their lease anew; returns how many."""

    async def release(self, claim: Claim, *, unshared: bool, remaining_s: float) -> None:
        """Ends a claim that is still held. `unshared`: for a while, nobody claims the place again."""

    async def delete(self, keys: Sequence[str], remaining_s: float) -> int:
        """Deletes these; returns how many there were."""

    async def clear(self, prefix: str, remaining_s: float) -> int:
        """Deletes all entries under a `keys.store_prefix`; returns how many there were."""

    async def clear_all(self, remaining_s: float) -> int:
        """Deletes all entries of all namespaces, and nothing of others; returns how many there were."""

    async def count(self, remaining_s: float) -> Mapping[str, int] | None:
        """How many entries there are, by namespace; about, and None when there is no time to count them."""

    async def reachable(self, remaining_s: float) -> bool:
        """Asks the store whether it answers."""

    async def servers(self, remaining_s: float) -> Sequence[ServerState]:
        """What each of its servers tells of itself; none in memory."""


@dataclass(frozen=True, slots=True)
class _Record:
    entry: CacheEntry
    expires_monotonic_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Holder:
    token: str  # empty: unshared
    expires_monotonic_s: float


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
        self._holders: OrderedDict[str, _Holder] = OrderedDict()  # oldest first; never where a record is

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
        self._holders.pop(key, None)
        size_bytes = entry.size_bytes + ENTRY_OVERHEAD_BYTES
        if size_bytes > self._bytes_max:
            return
        while self._records and not self._fits(size_bytes):
            self._drop(next(iter(self._records)))
        self._records[key] = _Record(entry, self._clock.monotonic_s() + ttl_s, size_bytes)
        self._size_bytes += size_bytes

    async def get_many(self, keys: Sequence[str], remaining_s: float) -> list[CacheEntry | None]:
        return [await self.get(key, remaining_s) for key in keys]

    async def put_many(self, puts: Sequence[Put], remaining_s: float) -> None:
        for each in puts:
            await self.put(each.key, each.entry, each.ttl_s, remaining_s)

    async def get_or_claim(self, claim: Claim, remaining_s: float) -> Look:
        entry = await self.get(claim.key, remaining_s)
        if entry is not None:
            return Look(entry)
        held = self._held(claim.key)
        if held is not None:
            return Look(holder=held.token) if held.token else NOTHING
        self._hold(claim.key, _Holder(claim.token, self._clock.monotonic_s() + claim.lease_s))
        return Look(holder=claim.token)

    async def renew(self, claims: Sequence[Claim], remaining_s: float) -> int:  # noqa: ARG002 - never waits
        ours = [claim for claim in claims if self._is_held_by(claim)]
        for claim in ours:
            self._hold(claim.key, _Holder(claim.token, self._clock.monotonic_s() + claim.lease_s))
        return len(ours)

    async def release(
        self,
        claim: Claim,
        *,
        unshared: bool,
        remaining_s: float,  # noqa: ARG002 - never waits
    ) -> None:
        if not self._is_held_by(claim):
            return
        del self._holders[claim.key]
        if unshared:
            self._hold(claim.key, _Holder("", self._clock.monotonic_s() + UNSHARED_S))

    async def delete(self, keys: Sequence[str], remaining_s: float) -> int:  # noqa: ARG002 - never waits
        for key in keys:
            self._holders.pop(key, None)
        return sum(self._drop(key) for key in keys)

    async def clear(self, prefix: str, remaining_s: float) -> int:
        kept = (*self._records, *self._holders)
        names = [name for name in kept if is_store_key_under(prefix, name)]
        return await self.delete(names, remaining_s)

    async def clear_all(self, remaining_s: float) -> int:
        return await self.delete((*self._records, *self._holders), remaining_s)

    async def count(self, remaining_s: float) -> Mapping[str, int] | None:  # noqa: ARG002 - never waits
        now_s = self._clock.monotonic_s()
        return Counter(
            namespace
            for name, record in self._records.items()
            if record.expires_monotonic_s > now_s and (namespace := namespace_of(name)) is not None
        )

    async def reachable(self, remaining_s: float) -> bool:  # noqa: ARG002 - never waits
        return True

    async def servers(self, remaining_s: float) -> Sequence[ServerState]:  # noqa: ARG002 - never waits
        return ()

    def _held(self, key: str) -> _Holder | None:
        held = self._holders.get(key)
        return held if held is not None and held.expires_monotonic_s > self._clock.monotonic_s() else None

    def _is_held_by(self, claim: Claim) -> bool:
        held = self._held(claim.key)
        return held is not None and held.token == claim.token

    def _hold(self, key: str, holder: _Holder) -> None:
        self._holders[key] = holder
        self._holders.move_to_end(key)
        while len(self._holders) > CLAIMS_MAX:
            self._holders.popitem(last=False)

    def _fits(self, size_bytes: int) -> bool:
        return len(self._records) < self._entries_max and self._size_bytes + size_bytes <= self._bytes_max

    def _drop(self, key: str) -> bool:
        """True when there was a live entry to drop."""
        record = self._records.pop(key, None)
        if record is None:
            return False
        self._size_bytes -= record.size_bytes
        return record.expires_monotonic_s > self._clock.monotonic_s()
