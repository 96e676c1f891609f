"""LiteLLM's families about the health of deployments, from what the router last told."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meshgate_edge.http.router_state import RouterView
from meshgate_edge.metrics.table import DEPLOYMENT
from meshgate_protos.router.v1 import router_service_pb2 as pb

# LiteLLM's numbers: healthy, partial outage, outage.
STATES: Final = {
    pb.DEPLOYMENT_HEALTH_HEALTHY: 0,
    pb.DEPLOYMENT_HEALTH_FAILING: 1,
    pb.DEPLOYMENT_HEALTH_ON_TRIAL: 1,
    pb.DEPLOYMENT_HEALTH_COOLING: 2,
}


def register_deployment_metrics(registry: CollectorRegistry, view: RouterView) -> None:
    """Read when somebody looks."""
    registry.register(_Deployments(view))


class _Deployments(Collector):
    def __init__(self, view: RouterView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        state = self._view()
        health = GaugeMetricFamily(
            "litellm_deployment_state", "0 healthy, 1 partial outage, 2 outage", labels=DEPLOYMENT
        )
        cooled = CounterMetricFamily(
            "litellm_deployment_cooled_down", "Cooldowns", labels=(*DEPLOYMENT, "exception_status")
        )
        in_flight = GaugeMetricFamily(
            "meshgate_deployment_in_flight", "Calls under way, of one router", labels=DEPLOYMENT
        )
        for each in state.deployments:
            labels = (each.upstream_model, each.deployment_id, each.api_base, each.provider)
            health.add_metric(labels, STATES.get(each.health, 0))
            in_flight.add_metric(labels, each.in_flight)
            count = state.cooldowns.get((each.deployment_id, each.upstream_model), 0)
            if count:
                cooled.add_metric((*labels, str(each.last_failure_status)), count)
        yield health
        yield cooled
        yield in_flight
