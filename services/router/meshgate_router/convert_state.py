"""What the router knows and finds out of deployments -> router.v1 messages."""

from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_router.probe import ProbeResult
from meshgate_router.state_report import Health, StateRow

HEALTH = {
    Health.HEALTHY: pb.DEPLOYMENT_HEALTH_HEALTHY,
    Health.FAILING: pb.DEPLOYMENT_HEALTH_FAILING,
    Health.ON_TRIAL: pb.DEPLOYMENT_HEALTH_ON_TRIAL,
    Health.COOLING: pb.DEPLOYMENT_HEALTH_COOLING,
}


def deployment_state(row: StateRow, api_base: str) -> pb.DeploymentState:
    """One row of GetState. `api_base`: where its calls go."""
    deployment, state = row.deployment, row.state
    return pb.DeploymentState(
        deployment_id=deployment.id,
        model_group=deployment.model_group,
        provider=deployment.provider,
        upstream_model=deployment.upstream_model,
        api_base=api_base,
        health=HEALTH[row.health],
        cooling_seconds=row.cooling_s,
        in_flight=state.in_flight,
        answers=state.answers,
        failures=state.failures,
        cooldowns=state.cooldowns,
        last_failure=state.last_failure,
        last_failure_status=state.last_status,
        last_failure_seconds=row.last_failure_s,
        first_token_seconds=row.first_token_s,
        token_seconds=row.token_s,
        limits=[
            pb.LimitUse(name=use.name, used=use.used, limit=use.limit, resets_in_seconds=use.left_s)
            for use in row.uses
        ],
    )


def probe_result(result: ProbeResult) -> pb.ProbeResult:
    """One row of ProbeDeployments."""
    deployment = result.deployment
    return pb.ProbeResult(
        deployment_id=deployment.id,
        model_group=deployment.model_group,
        provider=deployment.provider,
        upstream_model=deployment.upstream_model,
        healthy=result.healthy,
        probed=result.probed,
        reason=result.reason,
        message=result.message,
        duration_seconds=result.duration_s,
    )
