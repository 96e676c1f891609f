"""Which deployments are left alone for a while because they failed: a cooldown for each, in memory.

With `allowed_fails` configured, more than that many failures within a minute start a cooldown, in any
group. Without it, only groups with an alternative cool down: at once for a rate limit, a refused
credential or an unknown model, else when more than half of at least five calls of a minute failed.
Source: LiteLLM's rules, except that a configured number is taken literally.
"""

from dataclasses import dataclass
from typing import Final

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.providers.base import ErrorKind, ProviderError

WINDOW_S: Final = 60.0
FAILED_SHARE_MAX: Final = 0.5
CALLS_MIN: Final = 5
COOLDOWN_S_MAX: Final = 3_600.0  # whatever a provider's Retry-After says
DEPLOYMENTS_MAX: Final = 10_000  # remembered; wildcards can name any number of models

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
class _Health:
    """Of one deployment in the minute that began at `window_start_s`."""

    window_start_s: float
    calls: int = 0
    failures: int = 0
    cool_until_s: float = 0.0


class Breaker:
    """Safe to share between all calls of one event loop."""

    def __init__(self, config: RouterConfig, clock: Clock) -> None:
        self._allowed_fails = config.allowed_fails
        self._cooldown_s = config.cooldown_time_s
        self._clock = clock
        self._health: dict[tuple[str, str], _Health] = {}

    def cooling_s(self, deployment: Deployment) -> float:
        """Seconds until it may be called again; 0 when it may."""
        health = self._health.get(_key(deployment))
        return 0.0 if health is None else max(0.0, health.cool_until_s - self._clock.monotonic_s())

    def succeeded(self, deployment: Deployment) -> None:
        """Notes a good answer."""
        self._current(deployment).calls += 1

    def failed(self, deployment: Deployment, error: ProviderError, *, alternatives: bool) -> bool:
        """Notes a failure; True: a cooldown begins. `alternatives`: its group has other deployments."""
        if error.kind not in COUNTED:
            return False
        health = self._current(deployment)
        health.calls += 1
        health.failures += 1
        if not self._is_enough(health, error.kind, alternatives=alternatives):
            return False
        duration_s = self._cooldown_s if error.retry_after_s is None else error.retry_after_s
        if duration_s <= 0:
            return False
        health.cool_until_s = self._clock.monotonic_s() + min(duration_s, COOLDOWN_S_MAX)
        health.calls = health.failures = 0
        return True

    def _is_enough(self, health: _Health, kind: ErrorKind, *, alternatives: bool) -> bool:
        if self._allowed_fails is not None:
            return health.failures > self._allowed_fails
        if not alternatives:
            return False
        many = health.calls >= CALLS_MIN and health.failures > FAILED_SHARE_MAX * health.calls
        return kind in AT_ONCE or many

    def _current(self, deployment: Deployment) -> _Health:
        now_s = self._clock.monotonic_s()
        health = self._health.get(_key(deployment))
        if health is None:
            if len(self._health) >= DEPLOYMENTS_MAX:
                del self._health[next(iter(self._health))]
            health = self._health[_key(deployment)] = _Health(now_s)
        elif now_s - health.window_start_s >= WINDOW_S:
            health.window_start_s, health.calls, health.failures = now_s, 0, 0
        return health


def _key(deployment: Deployment) -> tuple[str, str]:
    """A wildcard deployment is one for each model it stands for."""
    return deployment.id, deployment.upstream_model
