"""What the cache counts: for Prometheus, and since start for GetStatus."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from meshgate_cache.flights import Flights, Role
from meshgate_cache.redis_store import RedisStore
from meshgate_cache.store import MemoryStore
from meshgate_protos.cache.v1 import cache_service_pb2 as pb

if TYPE_CHECKING:  # brings numpy, which an exact cache does not need
    from meshgate_cache.semantic.semantic_cache import SemanticCache

NAMESPACES_MAX: Final = 1_000  # clients choose names: those not used lately are no longer told


@dataclass(slots=True)
class NamespaceCounts:
    """Of one namespace, since start."""

    hits: int = 0
    semantic_hits: int = 0
    misses: int = 0
    reports: int = 0
    saved_usd_nanos: int = 0
    saved_tokens: int = 0


class CacheMetrics:
    """One instance for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lookups = Counter("meshgate_cache_lookups", "Lookups that read", ("result",), registry=registry)
        self._hits = lookups.labels("hit")
        self._semantic_hits = lookups.labels("semantic_hit")
        self._misses = lookups.labels("miss")
        self._errors = lookups.labels("error")
        self._stores = Counter(
            "meshgate_cache_stores", "Answers to store, by outcome", ("result",), registry=registry
        )
        self._reports = Counter(
            "meshgate_cache_false_hit_reports", "Semantic hits reported as wrong", registry=registry
        )
        self._saved = Counter(
            "meshgate_cache_saved_tokens", "Tokens of answers given again", registry=registry
        )
        self._waits = Counter(
            "meshgate_cache_waits_in_vain",
            "Callers who waited for another's answer and make it themselves",
            ("role",),
            registry=registry,
        )
        self._namespaces: OrderedDict[str, NamespaceCounts] = OrderedDict()
        self.hit_count = 0
        self.miss_count = 0

    def told(self, entries: Mapping[str, int]) -> Mapping[str, NamespaceCounts]:
        """Of the namespaces used lately, and of those that have most entries; NAMESPACES_MAX at most."""
        told = dict(self._namespaces)
        for namespace in sorted(entries, key=lambda name: -entries[name]):
            if len(told) >= NAMESPACES_MAX:
                break
            told.setdefault(namespace, NamespaceCounts())
        return told

    def hit(self, namespace: str, entry: pb.Entry) -> None:
        """An answer was found; semantic if it has a similarity."""
        counts = self._counts(namespace)
        semantic = entry.HasField("similarity")
        tokens = entry.response.usage.total_tokens
        self.hit_count += 1
        counts.hits += 1
        counts.semantic_hits += semantic
        counts.saved_usd_nanos += entry.cost_usd_nanos
        counts.saved_tokens += tokens
        (self._semantic_hits if semantic else self._hits).inc()
        self._saved.inc(tokens)

    def embedding(self, namespace: str, slot: pb.EmbeddingSlot) -> None:
        """One input of a batch was looked up."""
        if not slot.HasField("entry"):
            self.miss(namespace)
            return
        counts = self._counts(namespace)
        self.hit_count += 1
        counts.hits += 1
        counts.saved_usd_nanos += slot.entry.cost_usd_nanos
        counts.saved_tokens += slot.entry.prompt_tokens
        self._hits.inc()
        self._saved.inc(slot.entry.prompt_tokens)

    def waited(self, role: Role) -> None:
        """Somebody waited for an answer in vain, and goes on as the leader or alone."""
        self._waits.labels(role.value).inc()

    def miss(self, namespace: str) -> None:
        """There was none that is fresh."""
        self.miss_count += 1
        self._counts(namespace).misses += 1
        self._misses.inc()

    def reported(self, namespace: str) -> None:
        """A semantic hit was wrong."""
        self._counts(namespace).reports += 1
        self._reports.inc()

    def error(self) -> None:
        """The store could not tell."""
        self._errors.inc()

    def stored(self, result: str, count: int = 1) -> None:
        """`result`: stored, error, or the reason why not, in lower case."""
        self._stores.labels(result).inc(count)

    def _counts(self, namespace: str) -> NamespaceCounts:
        counts = self._namespaces.setdefault(namespace, NamespaceCounts())
        self._namespaces.move_to_end(namespace)
        if len(self._namespaces) > NAMESPACES_MAX:
            self._namespaces.popitem(last=False)
        return counts


def observe_semantic(semantic: "SemanticCache", registry: CollectorRegistry) -> None:
    """How much is known, and how strict the decision is."""
    questions = Gauge("meshgate_cache_questions", "Questions that can be found by meaning", registry=registry)
    questions.set_function(lambda: len(semantic.directory))
    size = Gauge("meshgate_cache_vector_bytes", "Bytes of their vectors", registry=registry)
    size.set_function(lambda: semantic.directory.size_bytes)
    threshold = Gauge("meshgate_cache_score_threshold", "Threshold in use", registry=registry)
    threshold.set_function(lambda: semantic.threshold.value)


def observe_flights(flights: Flights, registry: CollectorRegistry) -> None:
    """Who waits for an answer that another makes."""
    waiting = Gauge("meshgate_cache_waiting", "Callers who wait for another's answer", registry=registry)
    waiting.set_function(lambda: flights.waiting_count)


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
