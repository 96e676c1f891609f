"""What the router counts about providers. Labels are bounded: names of providers, and reasons."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from meshgate_router.providers.base import ErrorKind

FIRST_BYTE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)


class RouterMetrics:
    """One for each process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "meshgate_router_provider_calls_total",
            "Calls to providers by outcome: OK or the reason of the failure",
            ("provider", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "meshgate_router_provider_answer_seconds",
            "Until the whole answer, of a stream until its first chunk; successful calls only",
            ("provider",),
            buckets=FIRST_BYTE_BUCKETS_S,
            registry=registry,
        )
        self._fallbacks = Counter(
            "meshgate_router_fallbacks_total",
            "Turns from one model group to another",
            registry=registry,
        )
        self._cooldowns = Counter(
            "meshgate_router_cooldowns_total",
            "Deployments that were left alone for a while",
            ("provider",),
            registry=registry,
        )

    def answered(self, provider: str, duration_s: float) -> None:
        self._calls.labels(provider, "OK").inc()
        self._duration.labels(provider).observe(duration_s)

    def failed(self, provider: str, kind: ErrorKind) -> None:
        self._calls.labels(provider, kind.value).inc()

    def fallback(self) -> None:
        self._fallbacks.inc()

    def cooldown(self, provider: str) -> None:
        self._cooldowns.labels(provider).inc()
