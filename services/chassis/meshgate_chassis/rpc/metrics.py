"""Rate, errors and duration of every RPC, under the names of go-grpc-prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

DURATION_BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
)


@dataclass(slots=True)
class Observation:
    """The code a call ended with."""

    code: str = "OK"


class RpcMetrics:
    """Server-side metrics; one instance for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("grpc_service", "grpc_method")
        self._handled = Counter(
            "grpc_server_handled", "RPCs completed", (*labels, "grpc_code"), registry=registry
        )
        self._duration = Histogram(
            "grpc_server_handling_seconds",
            "Time to complete an RPC",
            labels,
            registry=registry,
            buckets=DURATION_BUCKETS_S,
        )

    def method(self, service: str, name: str) -> "MethodMetrics":
        """The metrics of one method, with its labels bound."""
        return MethodMetrics(name, service, self._handled, self._duration.labels(service, name))


class MethodMetrics:
    """Observes the calls of one method."""

    def __init__(self, name: str, service: str, handled: Counter, duration: Histogram) -> None:
        self.name = name
        self._service = service
        self._handled = handled
        self._duration = duration
        self._ok = handled.labels(service, name, "OK")

    @contextmanager
    def observe(self) -> Iterator[Observation]:
        """Counts one call; the caller sets the code of a failed one. A cancelled call counts as CANCELLED."""
        observation = Observation()
        start = perf_counter()
        finished = False
        try:
            yield observation
            finished = True
        finally:
            self._duration.observe(perf_counter() - start)
            if observation.code == "OK" and not finished:
                observation.code = "CANCELLED"
            if observation.code == "OK":
                self._ok.inc()
            else:
                self._handled.labels(self._service, self.name, observation.code).inc()
