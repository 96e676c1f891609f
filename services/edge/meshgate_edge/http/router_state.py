"""What the router knows of its deployments, remembered here: read in the background, so that nobody waits.

With several router replicas each reading is that of one of them. Probes go through the router as well, and
only when somebody asks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import MeshError
from meshgate_edge.pace import Pace
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient

INTERVAL_S: Final = 2.0
REST_S: Final = 10.0  # while nobody wants to know
TIMEOUT_S: Final = 1.0
PROBE_S: Final = 60.0  # all probes of one request together
REPLICAS_MAX: Final = 64  # whose counts are remembered

HEALTH: Final[Mapping[int, str]] = {
    pb.DEPLOYMENT_HEALTH_HEALTHY: "healthy",
    pb.DEPLOYMENT_HEALTH_FAILING: "failing",
    pb.DEPLOYMENT_HEALTH_ON_TRIAL: "on_trial",
    pb.DEPLOYMENT_HEALTH_COOLING: "cooling_down",
}


@dataclass(frozen=True, slots=True)
class RouterState:
    """`cooldowns`: of all replicas, by deployment id and upstream model. `shared`: by all replicas."""

    deployments: Sequence[pb.DeploymentState] = ()
    cooldowns: Mapping[tuple[str, str], int] = field(default_factory=dict)
    shared: bool = False


RouterView = Callable[[], RouterState]


class RouterWatch:
    """Reads the state until it is cancelled."""

    def __init__(self, router: RouterServiceClient) -> None:
        self._router = router
        self._state = RouterState()
        self._by_replica: dict[str, dict[tuple[str, str], int]] = {}
        self._pace = Pace()

    def state(self) -> RouterState:
        """As it was last read; empty before that. The next reading is soon."""
        self._pace.asked()
        return self._state

    async def run(self) -> None:
        """Until cancelled. A router that does not answer leaves what is known as it is."""
        while True:
            await self.read()
            await self._pace.wait(INTERVAL_S, REST_S)

    async def read(self) -> None:
        """Once."""
        try:
            answer = await self._router.get_state(pb.GetStateRequest(), timeout_s=TIMEOUT_S)
        except MeshError:
            return
        counts = {(each.deployment_id, each.upstream_model): each.cooldowns for each in answer.deployments}
        if answer.replica not in self._by_replica and len(self._by_replica) >= REPLICAS_MAX:
            del self._by_replica[next(iter(self._by_replica))]
        self._by_replica[answer.replica] = counts
        totals: dict[tuple[str, str], int] = {}
        for replica in self._by_replica.values():
            for key, count in replica.items():
                totals[key] = totals.get(key, 0) + count
        self._state = RouterState(tuple(answer.deployments), totals, answer.shared)


class RouterProbe:
    """Has deployments called. Raises MeshError, MODEL_NOT_FOUND for a name that nobody answers to."""

    def __init__(self, router: RouterServiceClient) -> None:
        self._router = router

    async def __call__(self, model: str, deployment_id: str) -> Sequence[pb.ProbeResult]:
        request = pb.ProbeDeploymentsRequest(model=model, deployment_id=deployment_id)
        answer = await self._router.probe_deployments(request, timeout_s=PROBE_S)
        return answer.results


def is_cooling(state: pb.DeploymentState) -> bool:
    """Whether no call goes there now."""
    return state.health == pb.DEPLOYMENT_HEALTH_COOLING


def state_json(state: pb.DeploymentState) -> JsonObject:
    """What anybody may know."""
    return {"health": HEALTH.get(state.health, "unknown"), "cooling_seconds": round(state.cooling_seconds, 3)}


def details_json(state: pb.DeploymentState) -> JsonObject:
    """What the operator may know besides."""
    return {
        "api_base": state.api_base,
        "in_flight": state.in_flight,
        "answers": state.answers,
        "failures": state.failures,
        "cooldowns": state.cooldowns,
        "last_failure": state.last_failure or None,
        "last_failure_seconds": round(state.last_failure_seconds, 3) if state.last_failure else None,
        "first_token_seconds": round(state.first_token_seconds, 6),
        "seconds_per_token": round(state.token_seconds, 6),
        "limits": {
            limit.name: {
                "used": limit.used,
                "limit": limit.limit,
                "resets_in_seconds": round(limit.resets_in_seconds, 3),
            }
            for limit in state.limits
        },
    }


def probe_json(result: pb.ProbeResult) -> JsonObject:
    """One probed deployment, in LiteLLM's words; `error` when it is not healthy."""
    told: JsonObject = {
        "model": f"{result.provider}/{result.upstream_model}",
        "model_name": result.model_group,
        "model_id": result.deployment_id,
        "probed": result.probed,
        "duration_seconds": round(result.duration_seconds, 3),
    }
    if not result.healthy:
        told["error"] = f"{result.reason}: {result.message}" if result.reason else result.message
    return told
