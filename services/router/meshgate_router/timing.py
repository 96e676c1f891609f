"""How long one provider call may take: pure.

A call that is not streamed has one limit for all of it. A stream has it for the time until its first
byte and for each pause after that: an answer that flows may take as long as the caller's deadline.
"""

from dataclasses import dataclass
from typing import Final

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.transport import CallTimeouts

CALL_S_MIN: Final = 0.05  # with less left, no call is made
TELLING_S: Final = 10.0  # whoever does not answer in this time is in trouble, whatever the caller wanted
RETURN_S: Final = 0.02  # kept back so that we can still answer


@dataclass(frozen=True, slots=True)
class TimeoutRules:
    """`connect_s`, `between_reads_s`: limits of the service's own, for all providers."""

    connect_s: float
    between_reads_s: float


@dataclass(frozen=True, slots=True)
class CallLimits:
    """`shortened`: the caller allowed so much less than the configuration that a timeout tells nothing about
    the provider."""

    timeouts: CallTimeouts
    shortened: bool


def configured_s(deployment: Deployment, router: RouterConfig, *, stream: bool) -> float:
    """The configuration's limit for a call; the deployment's own comes first, a stream's own before it."""
    streams = (deployment.stream_timeout_s, deployment.timeout_s, router.stream_timeout_s)
    for value in streams if stream else (deployment.timeout_s,):
        if value is not None:
            return value
    return router.timeout_s


def call_limits(
    limit_s: float, requested_s: float | None, left_s: float, rules: TimeoutRules, *, stream: bool
) -> CallLimits | None:
    """`limit_s`: as configured; `requested_s`: as the request wants it; `left_s`: of the caller's deadline.
    None: too little is left."""
    usable_s = left_s - RETURN_S
    if usable_s < CALL_S_MIN:
        return None
    wanted_s = limit_s if requested_s is None else requested_s
    call_s = min(wanted_s, usable_s)
    timeouts = CallTimeouts(
        connect_s=rules.connect_s,
        first_byte_s=call_s,
        between_reads_s=min(wanted_s, rules.between_reads_s) if stream else call_s,
        total_s=usable_s if stream else call_s,
    )
    return CallLimits(timeouts, shortened=call_s < min(limit_s, TELLING_S))
