"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from meshgate_compression.conversation import Outcome

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class CompressionMetrics:
    """One instance for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._prompts = Counter(
            "meshgate_compression_prompts", "Prompts, by outcome", ("result",), registry=registry
        )
        self._seconds = Histogram(
            "meshgate_compression_seconds",
            "Time from request to result, waiting included",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._given = Counter(
            "meshgate_compression_tokens_given", "Tokens of compressed prompts before", registry=registry
        )
        self._kept = Counter(
            "meshgate_compression_tokens_kept", "Tokens of compressed prompts after", registry=registry
        )

    def compressed(self, outcome: Outcome, duration_s: float) -> None:
        """A prompt was answered, shortened or not."""
        self._prompts.labels((outcome.reason.value or "compressed").lower()).inc()
        self._seconds.observe(duration_s)
        if outcome.messages:
            self._given.inc(outcome.tokens_before)
            self._kept.inc(outcome.tokens_after)

    def failed(self, reason: str) -> None:
        """A prompt was not answered."""
        self._prompts.labels(reason.lower()).inc()
