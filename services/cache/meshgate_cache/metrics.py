"""What the cache counts: for Prometheus, and since start for GetStatus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from meshgate_cache.redis_store import RedisStore
from meshgate_cache.store import MemoryStore


class CacheMetrics:
    """One instance for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lookups = Counter("meshgate_cache_lookups", "Lookups that read", ("result",), registry=registry)
        self._hits = lookups.labels("hit")
        self._misses = lookups.labels("miss")
        self._errors = lookups.labels("error")
        self._stores = Counter(
            "meshgate_cache_stores", "Answers to store, by outcome", ("result",), registry=registry
        )
        self.hit_count = 0
        self.miss_count = 0

    def hit(self) -> None:
        """An answer was found."""
        self.hit_count += 1
        self._hits.inc()

    def miss(self) -> None:
        """There was none that is fresh."""
        self.miss_count += 1
        self._misses.inc()

    def error(self) -> None:
        """The store could not tell."""
        self._errors.inc()

    def stored(self, result: str) -> None:
        """`result`: stored, error, or the reason why not, in lower case."""
        self._stores.labels(result).inc()


def observe_memory(store: MemoryStore, registry: CollectorRegistry) -> None:
    """Size gauges, read when they are scraped."""
    entries = Gauge("meshgate_cache_memory_entries", "Entries in memory", registry=registry)
    entries.set_function(lambda: store.entry_count)
    size = Gauge("meshgate_cache_memory_bytes", "Bytes that they take, about", registry=registry)
    size.set_function(lambda: store.size_bytes)


def observe_redis(store: RedisStore, registry: CollectorRegistry) -> None:
    """1 while Redis is used, 0 while it is known not to answer."""
    reachable = Gauge("meshgate_cache_redis_reachable", "Whether Redis answers", registry=registry)
    reachable.set_function(lambda: float(store.circuit_closed))
