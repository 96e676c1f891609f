"""What this process remembers of each deployment: calls under way, latencies, use, the last failure.

In memory and bounded. Copies of an entry (`model_groups`) are one; the models behind one wildcard are not.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig

DEPLOYMENTS_MAX: Final = 10_000  # remembered; wildcards can name any number of models
FIRST_TOKENS_MAX: Final = 200  # samples: enough to tell a quantile
MINUTE_S: Final = 60.0
TIMEOUT_LATENCY_S: Final = 1_000.0  # how slow a call counts that did not come back

Key: TypeAlias = tuple[str, str]
Sample: TypeAlias = tuple[float, float]  # when, in monotonic seconds; the value, in seconds


def key_of(deployment: Deployment) -> Key:
    """A wildcard deployment is one for each model it stands for."""
    return deployment.account, deployment.upstream_model


@dataclass(slots=True)
class DeploymentState:
    """One deployment. `latencies`: of whole answers, for each answer token; `first_tokens`: of streams."""

    latencies: deque[Sample]
    first_tokens: deque[Sample] = field(default_factory=lambda: deque(maxlen=FIRST_TOKENS_MAX))
    in_flight: int = 0
    answers: int = 0
    failures: int = 0
    cooldowns: int = 0
    last_failure: str = ""  # a reason
    last_failure_s: float = 0.0
    last_status: int = 0  # what an HTTP client was to be told of it
    failing: bool = False  # its last call failed
    minute: int = 0
    minute_requests: int = 0
    minute_tokens: int = 0


class DeploymentStates:
    """All of them."""

    def __init__(self, config: RouterConfig, clock: Clock) -> None:
        self._samples_max = max(1, config.latency_samples_max)
        self._memory_s = config.latency_memory_s
        self._clock = clock
        self._states: dict[Key, DeploymentState] = {}

    def of(self, deployment: Deployment) -> DeploymentState:
        """Its state, the use of this minute up to date."""
        key = key_of(deployment)
        state = self._states.get(key)
        if state is None:
            self._make_room()
            state = self._states[key] = DeploymentState(deque(maxlen=self._samples_max))
        minute = int(self._clock.now_ns() / 1e9 / MINUTE_S)
        if state.minute != minute:
            state.minute, state.minute_requests, state.minute_tokens = minute, 0, 0
        return state

    def models_of(self, account: str) -> Sequence[str]:
        """The models that were asked for behind one entry."""
        return [model for owner, model in self._states if owner == account]

    def latency_s(self, state: DeploymentState, *, stream: bool) -> float | None:
        """The mean of what is remembered; None: nothing is."""
        samples = list(state.first_tokens)[-self._samples_max :] if stream else state.latencies
        values = [value for at_s, value in samples if self._clock.monotonic_s() - at_s <= self._memory_s]
        return sum(values) / len(values) if values else None

    def first_tokens_s(self, deployment: Deployment) -> Sequence[float]:
        """The latest times to the first token of a stream, oldest first."""
        oldest_s = self._clock.monotonic_s() - self._memory_s
        return [value for at_s, value in self.of(deployment).first_tokens if at_s >= oldest_s]

    def note_latency(self, state: DeploymentState, value_s: float, *, stream: bool) -> None:
        """One more sample."""
        sample = (self._clock.monotonic_s(), value_s)
        (state.first_tokens if stream else state.latencies).append(sample)

    def _make_room(self) -> None:
        if len(self._states) < DEPLOYMENTS_MAX:
            return
        idle = next((key for key, state in self._states.items() if not state.in_flight), None)
        del self._states[idle if idle is not None else next(iter(self._states))]
