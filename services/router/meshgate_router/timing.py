"""How long one provider call may take: pure.

A call that is not streamed has one limit for all of it. A stream has it for the time until its first
token and for each pause after that: an answer that flows may take as long as the caller's deadline, if no
`total_timeout` says less.
"""

from dataclasses import dataclass, replace
from typing import Final

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.transport import CallTimeouts

CALL_S_MIN: Final = 0.05  # with less left, no call is made
TELLING_S: Final = 10.0  # whoever does not answer in this time is in trouble, whatever the caller wanted
RETURN_S: Final = 0.02  # kept back so that we can still answer


@dataclass(frozen=True, slots=True)
class TimeoutRules:
    """Besides the one limit of a call. `connect_s`, `between_reads_s`: the service's own, for all providers,
    where the configuration says nothing. `pause_s`: a stream's silence, as configured. None: unlimited."""

    connect_s: float
    between_reads_s: float
    pause_s: float | None = None
    between_tokens_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class CallLimits:
    """`shortened`: the caller allowed so much less than the configuration that a timeout tells nothing about
    the provider."""

    timeouts: CallTimeouts
    shortened: bool


def configured_s(deployment: Deployment, router: RouterConfig, *, stream: bool) -> float:
    """The configuration's limit for a call, of a stream for its first token: the deployment's own comes
    first, a stream's own before it."""
    if stream:
        for value in (deployment.stages.first_token_s, _pause_s(deployment), router.stages.first_token_s):
            if value is not None:
                return value
    return _configured_s(deployment, router, stream=stream)


def rules_for(rules: TimeoutRules, deployment: Deployment, router: RouterConfig) -> TimeoutRules:
    """With what the configuration says about the stages of a call; the deployment's own comes first."""
    own, shared = deployment.stages, router.stages
    return replace(
        rules,
        connect_s=_first(own.connect_s, shared.connect_s) or rules.connect_s,
        pause_s=_configured_s(deployment, router, stream=True),
        between_tokens_s=_first(own.between_tokens_s, shared.between_tokens_s),
        total_s=_first(own.total_s, shared.total_s),
    )


def _pause_s(deployment: Deployment) -> float | None:
    return _first(deployment.stream_timeout_s, deployment.timeout_s)


def _configured_s(deployment: Deployment, router: RouterConfig, *, stream: bool) -> float:
    own = _first(_pause_s(deployment), router.stream_timeout_s) if stream else deployment.timeout_s
    return router.timeout_s if own is None else own


def _first(own_s: float | None, shared_s: float | None) -> float | None:
    return shared_s if own_s is None else own_s


def call_limits(
    limit_s: float, requested_s: float | None, left_s: float, rules: TimeoutRules, *, stream: bool
) -> CallLimits | None:
    """`limit_s`: as configured; `requested_s`: as the request wants it; `left_s`: of the caller's deadline.
    None: too little is left."""
    usable_s = left_s - RETURN_S
    if usable_s < CALL_S_MIN:
        return None
    if rules.total_s is not None:
        limit_s = min(limit_s, rules.total_s)
    wanted_s = limit_s if requested_s is None else min(requested_s, rules.total_s or requested_s)
    total_s = min(usable_s, rules.total_s or usable_s)
    call_s = min(wanted_s, usable_s)
    pause_s = wanted_s if requested_s is not None or rules.pause_s is None else rules.pause_s
    timeouts = CallTimeouts(
        connect_s=rules.connect_s,
        first_byte_s=call_s,
        between_reads_s=min(pause_s, rules.between_reads_s) if stream else call_s,
        total_s=total_s if stream else call_s,
        between_tokens_s=rules.between_tokens_s if stream else None,
    )
    return CallLimits(timeouts, shortened=call_s < min(limit_s, TELLING_S))
