"""What this process knows of every deployment, for operators: read from memory, nothing is called."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment
from meshgate_chassis.config.names import WILDCARD
from meshgate_router.breaker import Breaker
from meshgate_router.deployment_limits import LocalLimits, Use
from meshgate_router.deployment_state import DeploymentState, DeploymentStates
from meshgate_router.limit_rules import Amounts, ask_of

ROWS_MAX: Final = 10_000


class Health(Enum):
    """What a deployment may expect."""

    HEALTHY = 1
    FAILING = 2  # its last call failed; it is called all the same
    ON_TRIAL = 3  # it has cooled down: the next call decides
    COOLING = 4  # it is not called


@dataclass(frozen=True, slots=True)
class StateRow:
    """One deployment. Seconds are 0 where nothing is known."""

    deployment: Deployment
    health: Health
    cooling_s: float
    state: DeploymentState
    last_failure_s: float
    first_token_s: float
    token_s: float
    uses: Sequence[Use]


@dataclass(frozen=True, slots=True)
class StateReport:
    """Reads what the selector works with."""

    deployments: Sequence[Deployment]
    breaker: Breaker
    states: DeploymentStates
    limits: LocalLimits
    clock: Clock

    def rows(self) -> list[StateRow]:
        """In the configuration's order; of a wildcard each model that was asked for."""
        named = (each for deployment in self.deployments for each in self._meant(deployment))
        return [self._row(deployment) for deployment, _ in zip(named, range(ROWS_MAX), strict=False)]

    def _meant(self, deployment: Deployment) -> Iterator[Deployment]:
        if WILDCARD not in deployment.model_group:
            yield deployment
            return
        for model in self.states.models_of(deployment.account):
            yield replace(deployment, upstream_model=model)

    def _row(self, deployment: Deployment) -> StateRow:
        state = self.states.of(deployment)
        cooling_s = self.breaker.cooling_s(deployment)
        ago_s = self.clock.monotonic_s() - state.last_failure_s if state.last_failure else 0.0
        return StateRow(
            deployment=deployment,
            health=self._health(deployment, state, cooling_s),
            cooling_s=cooling_s,
            state=state,
            last_failure_s=ago_s,
            first_token_s=self.states.latency_s(state, stream=True) or 0.0,
            token_s=self.states.latency_s(state, stream=False) or 0.0,
            uses=self.limits.uses(ask_of(deployment, Amounts(), self.clock.now_ns() / 1e9)),
        )

    def _health(self, deployment: Deployment, state: DeploymentState, cooling_s: float) -> Health:
        if self.breaker.on_trial(deployment):
            return Health.COOLING if self.breaker.cooling_down(deployment) else Health.ON_TRIAL
        if cooling_s > 0:
            return Health.COOLING
        return Health.FAILING if state.failing else Health.HEALTHY
