"""Which deployments are left alone for a while because they failed: a half-open circuit breaker for each.

    closed     every call is let through
    open       none is, for the cooldown
    half-open  one trial at a time; a good answer closes the circuit, a failure opens it again

With `allowed_fails` configured, more than that many failures within a minute start a cooldown, in any
group. Without it, only where there is an alternative (another deployment of the group, or a fallback): at
once for a rate limit, a refused credential or an unknown model, else when more than half of at least five
calls of a minute failed. A rate limit ends by itself: after it the circuit is closed, not half-open.
Source: LiteLLM's rules, except for the trial, and that a configured number is taken literally, and that a
fallback is an alternative.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.deployment_state import DEPLOYMENTS_MAX, Key, key_of
from meshgate_router.error_classes import CLASS_OF
from meshgate_router.providers.base import ErrorKind, ProviderError

WINDOW_S: Final = 60.0
FAILED_SHARE_MAX: Final = 0.5
CALLS_MIN: Final = 5
COOLDOWN_S_MAX: Final = 3_600.0  # whatever a provider's Retry-After says
TRIAL_S: Final = 10.0  # a trial that takes longer is not waited for: there may be another one

COUNTED: Final = frozenset(
    {
        ErrorKind.RATE_LIMITED,
        ErrorKind.TIMEOUT,
        ErrorKind.UNAVAILABLE,
        ErrorKind.AUTHENTICATION_FAILED,
        ErrorKind.NOT_FOUND,
        ErrorKind.OTHER,
    }
)
AT_ONCE: Final = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.AUTHENTICATION_FAILED, ErrorKind.NOT_FOUND})


@dataclass(slots=True)
class _Circuit:
    """Of one deployment. The counts are of the minute that began at `window_start_s`."""

    window_start_s: float
    calls: int = 0
    failures: int = 0
    by_class: dict[str, int] = field(default_factory=dict)
    cool_until_s: float = 0.0
    on_trial: bool = False  # half-open, once it has cooled down
    trial_until_s: float = 0.0
    shared_at_s: float | None = None  # since when the other replicas know that it is not closed


class Replicas(Protocol):
    """What the breakers of other processes are told, and asked (meshgate_router.shared_breaker)."""

    def opened(self, key: Key, duration_s: float, *, on_trial: bool) -> None:
        """A cooldown began here."""

    def closed(self, key: Key) -> None:
        """A trial went well here."""

    def counted(self, key: Key, name: str, allowed: int, duration_s: float) -> None:
        """A failure that is counted by `name`, of which more than `allowed` in a minute are too many."""

    async def may_try(self, key: Key, duration_s: float) -> bool:
        """Whether no other process is at a trial; counts this one, for that long."""


class Breaker:
    """Safe to share between all calls of one event loop."""

    def __init__(self, config: RouterConfig, clock: Clock, replicas: Replicas | None = None) -> None:
        self._config = config
        self._clock = clock
        self._circuits: dict[Key, _Circuit] = {}
        self.replicas = replicas

    def cooling_s(self, deployment: Deployment) -> float:
        """Seconds until it may be called again; 0 when it may. While a trial runs: until it is given up."""
        circuit = self._circuits.get(key_of(deployment))
        if circuit is None:
            return 0.0
        until_s = max(circuit.cool_until_s, circuit.trial_until_s if circuit.on_trial else 0.0)
        return max(0.0, until_s - self._clock.monotonic_s())

    def cooling_down(self, deployment: Deployment) -> bool:
        """Whether it may not even be tried."""
        circuit = self._circuits.get(key_of(deployment))
        return circuit is not None and circuit.cool_until_s > self._clock.monotonic_s()

    def under_trial(self, deployment: Deployment) -> bool:
        """Whether the next word about it comes from a trial that is under way."""
        circuit = self._circuits.get(key_of(deployment))
        now_s = self._clock.monotonic_s()
        return (
            circuit is not None and circuit.on_trial and circuit.cool_until_s <= now_s < circuit.trial_until_s
        )

    def on_trial(self, deployment: Deployment) -> bool:
        """Whether the next call is a trial: then `admit` has to be asked."""
        circuit = self._circuits.get(key_of(deployment))
        return circuit is not None and circuit.on_trial

    async def admit(self, deployment: Deployment) -> bool:
        """Whether it may be called now. A trial is begun by it, and ended by what becomes of the call."""
        key = key_of(deployment)
        circuit = self._circuits.get(key)
        if circuit is None or not circuit.on_trial:
            return True
        now_s = self._clock.monotonic_s()
        if now_s < max(circuit.cool_until_s, circuit.trial_until_s):
            return False
        circuit.trial_until_s = now_s + TRIAL_S
        return self.replicas is None or await self.replicas.may_try(key, TRIAL_S)

    def succeeded(self, deployment: Deployment) -> None:
        """Notes a good answer."""
        key = key_of(deployment)
        circuit = self._current(key)
        circuit.calls += 1
        if circuit.on_trial and circuit.cool_until_s <= self._clock.monotonic_s():
            _close(circuit)
            if self.replicas is not None:
                self.replicas.closed(key)

    def given_up(self, deployment: Deployment) -> None:
        """Notes a call that tells nothing: if it was a trial, there may be another one."""
        circuit = self._circuits.get(key_of(deployment))
        if circuit is not None:
            circuit.trial_until_s = 0.0

    def failed(self, deployment: Deployment, error: ProviderError, *, alternatives: bool) -> bool:
        """Notes a failure; True: a cooldown begins. `alternatives`: others can be
        asked instead."""
        key, name = key_of(deployment), CLASS_OF.get(error.kind, "")
        policy = self._policy(deployment, name)
        if not self._config.cooldowns or (error.kind not in COUNTED and policy is None):
            self.given_up(deployment)
            return False
        circuit = self._current(key)
        circuit.calls += 1
        circuit.failures += 1
        circuit.by_class[name] = circuit.by_class.get(name, 0) + 1
        trial_failed = circuit.on_trial and circuit.trial_until_s > 0
        duration_s = self._duration_s(deployment, error)
        allowed = policy if policy is not None else self._allowed_fails(deployment)
        count = circuit.by_class[name] if policy is not None else circuit.failures
        if not (trial_failed or self._too_many(circuit, error.kind, count, allowed, alternatives)):
            if self.replicas is not None and allowed is not None:
                self.replicas.counted(key, name if policy is not None else "all", allowed, duration_s)
            return False
        if duration_s <= 0:
            return False
        self._open(circuit, duration_s, on_trial=error.kind is not ErrorKind.RATE_LIMITED)
        if self.replicas is not None:
            self.replicas.opened(key, duration_s, on_trial=circuit.on_trial)
        return True

    def learn(self, states: Mapping[Key, tuple[float, bool]], asked_s: float) -> None:
        """What all replicas together know: seconds left, and whether a trial has to follow, of every circuit
        that is not closed. `asked_s`: when that was so; what was closed elsewhere is closed here."""
        for key, (left_s, on_trial) in states.items():
            circuit = self._current(key)
            if left_s > 0:
                circuit.cool_until_s = max(circuit.cool_until_s, self._clock.monotonic_s() + left_s)
            circuit.on_trial = circuit.on_trial or on_trial
            circuit.shared_at_s = asked_s if circuit.shared_at_s is None else circuit.shared_at_s
        for key, circuit in self._circuits.items():
            if key not in states and circuit.shared_at_s is not None and circuit.shared_at_s < asked_s:
                _close(circuit)

    def known(self, key: Key) -> None:
        """The other replicas know of the cooldown that began here."""
        if key in self._circuits:
            self._circuits[key].shared_at_s = self._clock.monotonic_s()

    def open_for(self, key: Key, duration_s: float) -> None:
        """All replicas together counted too many failures."""
        self._open(self._current(key), duration_s, on_trial=True)

    def _open(self, circuit: _Circuit, duration_s: float, *, on_trial: bool) -> None:
        circuit.cool_until_s = self._clock.monotonic_s() + min(duration_s, COOLDOWN_S_MAX)
        circuit.on_trial = on_trial
        circuit.trial_until_s = 0.0
        circuit.calls = circuit.failures = 0
        circuit.by_class.clear()

    def _policy(self, deployment: Deployment, name: str) -> int | None:
        own = deployment.allowed_fails_policy.get(name)
        return own if own is not None else self._config.allowed_fails_policy.get(name)

    def _allowed_fails(self, deployment: Deployment) -> int | None:
        own = deployment.allowed_fails
        return own if own is not None else self._config.allowed_fails

    def _duration_s(self, deployment: Deployment, error: ProviderError) -> float:
        if error.retry_after_s is not None:
            return error.retry_after_s
        own = deployment.cooldown_time_s
        return own if own is not None else self._config.cooldown_time_s

    def _too_many(
        self, circuit: _Circuit, kind: ErrorKind, count: int, allowed: int | None, alternatives: bool
    ) -> bool:
        if allowed is not None:
            return count > allowed
        if not alternatives:
            return False
        many = circuit.calls >= CALLS_MIN and circuit.failures > FAILED_SHARE_MAX * circuit.calls
        return kind in AT_ONCE or many

    def _current(self, key: Key) -> _Circuit:
        now_s = self._clock.monotonic_s()
        circuit = self._circuits.get(key)
        if circuit is None:
            if len(self._circuits) >= DEPLOYMENTS_MAX:
                del self._circuits[next(iter(self._circuits))]
            circuit = self._circuits[key] = _Circuit(now_s)
        elif now_s - circuit.window_start_s >= WINDOW_S:
            circuit.window_start_s, circuit.calls, circuit.failures = now_s, 0, 0
            circuit.by_class.clear()
        return circuit


def _close(circuit: _Circuit) -> None:
    circuit.cool_until_s = circuit.trial_until_s = 0.0
    circuit.on_trial = False
    circuit.shared_at_s = None
