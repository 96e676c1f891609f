"""The ledger's own numbers for Prometheus; those of its RPCs come with the chassis."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class LedgerMetrics:
    """One for each process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reserve_batch_items = Histogram(
            "meshgate_ledger_reserve_batch_items",
            "Reservations that one round trip to PostgreSQL carried",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.settle_batch_items = Histogram(
            "meshgate_ledger_settle_batch_items",
            "Settlements, voids and expiries that one transaction carried",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self._decisions = Counter(
            "meshgate_ledger_decisions",
            "Reservations by what was decided: GRANTED or the reason of the denial",
            ["decision"],
            registry=registry,
        )
        self._decided: dict[str, Counter] = {}  # looking a label up takes longer than counting
        self.charged_nanos = Counter(
            "meshgate_ledger_charged_usd_nanos", "What settlements charged", registry=registry
        )
        self.unpriced_calls = Counter(
            "meshgate_ledger_unpriced_calls",
            "Settled calls whose price is not known",
            ["provider"],
            registry=registry,
        )
        self.expired_holds = Counter(
            "meshgate_ledger_expired_holds",
            "Holds that nobody settled, charged as estimated",
            registry=registry,
        )
        self.top_ups = Counter(
            "meshgate_ledger_top_ups",
            "Top-ups by what was granted: all, some or none of it",
            ["granted"],
            registry=registry,
        )
        self.freed_slots = Counter(
            "meshgate_ledger_freed_slots",
            "Slots of parallel calls that were taken back from edges that are gone",
            registry=registry,
        )
        self.open_holds = Gauge(
            "meshgate_ledger_open_holds", "Calls under way, of all replicas", registry=registry
        )
        self.store_up = Gauge("meshgate_ledger_store_up", "1 while PostgreSQL answers", registry=registry)
        self.store_up.set(1)

    def decided(self, decision: str) -> None:
        """A reservation was decided: GRANTED, or the reason of the denial."""
        counter = self._decided.get(decision)
        if counter is None:
            counter = self._decided[decision] = self._decisions.labels(decision)
        counter.inc()

    def store_state(self, up: bool) -> None:
        """PostgreSQL came or went."""
        self.store_up.set(int(up))
