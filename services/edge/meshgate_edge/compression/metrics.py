"""What became of the compression of each model's prompts, for Prometheus; also what the guard refused."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo

OTHER: Final = "other"


class CompressionMetrics:
    """A CallObserver. Models that are not configured by name are counted together."""

    def __init__(self, registry: CollectorRegistry, models: Iterable[str]) -> None:
        self._models = frozenset(models)
        self._prompts = Counter(
            "meshgate_compression_decisions",
            "Prompts for which compression was wanted, by what became of it",
            ("model", "result"),
            registry=registry,
        )

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """Counts one call. See CallObserver."""
        del error  # whatever became of the call, its prompt was compressed or not
        if info.compression:
            model = info.model if info.model in self._models else OTHER
            self._prompts.labels(model, info.compression).inc()
