"""Gauges of the mesh's health, read when somebody looks."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from meshgate_edge.http.health import MeshState, Readiness


def register_mesh_gauges(registry: CollectorRegistry, readiness: Readiness) -> None:
    """1 or 0 for each, under the names that dashboards of LiteLLM's users ask for, and our own."""

    def gauge(name: str, text: str, up: Callable[[MeshState], bool]) -> None:
        Gauge(name, text, registry=registry).set_function(lambda: float(up(readiness.state())))

    gauge("litellm_postgres_up", "The ledger and its PostgreSQL answer", lambda state: state.ledger)
    gauge("litellm_redis_cache_up", "The cache and its store answer", lambda state: state.caching)
    gauge("litellm_health_check_status", "Calls can be answered", lambda state: state.ready)
    services = Gauge("meshgate_service_up", "The service answers", ("service",), registry=registry)
    for name in ("ledger", "cache", "compression", "router"):

        def up(name: str = name) -> float:
            return float(getattr(readiness.state(), name))

        services.labels(name).set_function(up)
