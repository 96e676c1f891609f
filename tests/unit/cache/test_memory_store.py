"""The store in memory keeps what every store promises, and its limits."""

from dataclasses import replace

import pytest

from meshgate_cache.store import ENTRY_OVERHEAD_BYTES, MemoryStore, Store
from tests.support.clock import ManualClock
from tests.unit.cache.store_suite import ENTRY, LONG_S, TTL_S, StoreSuite, name


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class TestMemoryStore(StoreSuite):
    """The shared promises."""

    @pytest.fixture
    def store(self, clock: ManualClock) -> MemoryStore:
        self._clock = clock
        return MemoryStore(clock, bytes_max=64 * 1024 * 1024, entries_max=10_000)

    async def after(self, store: Store, key: str) -> None:
        self._clock.advance(self.short_s)


async def test_an_entry_lives_to_the_end_of_its_time(clock: ManualClock) -> None:
    """And not a moment longer."""
    store = MemoryStore(clock, bytes_max=10_000, entries_max=10)
    await store.put(name(), ENTRY, 10.0, LONG_S)

    clock.advance(9.999)
    assert ENTRY == await store.get(name(), LONG_S)
    clock.advance(0.001)
    assert await store.get(name(), LONG_S) is None
    assert (0, 0) == (store.entry_count, store.size_bytes)


async def test_the_least_used_goes_first(clock: ManualClock) -> None:
    """A lookup counts as use."""
    store = MemoryStore(clock, bytes_max=1_000_000, entries_max=3)
    keys = [name(request=bytes([number])) for number in range(4)]
    for key in keys[:3]:
        await store.put(key, ENTRY, TTL_S, LONG_S)
    await store.get(keys[0], LONG_S)
    await store.put(keys[3], ENTRY, TTL_S, LONG_S)

    assert [ENTRY, None, ENTRY, ENTRY] == [await store.get(key, LONG_S) for key in keys]


async def test_memory_is_bounded_by_bytes(clock: ManualClock) -> None:
    """After any puts the size is within the limit, and is what the entries weigh."""
    bytes_max = 20_000
    store = MemoryStore(clock, bytes_max=bytes_max, entries_max=1_000)
    for number in range(200):
        entry = replace(ENTRY, response=b"x" * (number * 37 % 5_000))
        await store.put(name(request=b"%d" % (number % 40)), entry, TTL_S, LONG_S)
        assert store.size_bytes <= bytes_max
    weights = 0
    for number in range(40):
        found = await store.get(name(request=b"%d" % number), LONG_S)
        weights += 0 if found is None else found.size_bytes + ENTRY_OVERHEAD_BYTES

    assert 0 < weights == store.size_bytes


async def test_an_entry_above_the_whole_limit_is_not_kept(clock: ManualClock) -> None:
    """And does not drive the others out; but an older one under its key is gone."""
    store = MemoryStore(clock, bytes_max=10_000, entries_max=10)
    await store.put(name(), ENTRY, TTL_S, LONG_S)
    await store.put(name(request=b"big"), ENTRY, TTL_S, LONG_S)
    await store.put(name(request=b"big"), replace(ENTRY, response=b"x" * 10_000), TTL_S, LONG_S)

    assert ENTRY == await store.get(name(), LONG_S)
    assert await store.get(name(request=b"big"), LONG_S) is None
