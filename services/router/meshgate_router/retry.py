"""Whether and when a failed call is worth another: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.error_classes import CLASS_OF
from meshgate_router.providers.base import ErrorKind, ProviderError

BACKOFF_S: Final = 0.5  # doubled with each retry
BACKOFF_S_MAX: Final = 8.0
JITTER_S_MAX: Final = 0.75
JITTER_SHARE_MAX: Final = 0.5  # of the pause: so that every pause is longer than the one before it
RETRY_AFTER_S_MAX: Final = 60.0  # a provider that wants a longer pause is not waited for


class Worth(Enum):
    """Where another call may help."""

    ANYWHERE = 1
    ELSEWHERE = 2  # at another deployment of the group
    NOWHERE = 3  # in this group


_WORTH: Final[Mapping[ErrorKind, Worth]] = {
    ErrorKind.RATE_LIMITED: Worth.ANYWHERE,
    ErrorKind.TIMEOUT: Worth.ANYWHERE,
    ErrorKind.UNAVAILABLE: Worth.ANYWHERE,
    ErrorKind.OTHER: Worth.ANYWHERE,
    ErrorKind.AUTHENTICATION_FAILED: Worth.ELSEWHERE,
    ErrorKind.NOT_FOUND: Worth.ELSEWHERE,
    ErrorKind.NOT_SUPPORTED: Worth.ELSEWHERE,
    ErrorKind.UNSUPPORTED_PARAMETER: Worth.ELSEWHERE,
    ErrorKind.FIELD_INVALID: Worth.ELSEWHERE,
    ErrorKind.BAD_REQUEST: Worth.NOWHERE,
    ErrorKind.CONTEXT_WINDOW_EXCEEDED: Worth.NOWHERE,
    ErrorKind.CONTENT_FILTERED: Worth.NOWHERE,
}


@dataclass(frozen=True, slots=True)
class Situation:
    """`retry`: how many retries there were. `others`: another deployment of the group may be called now.
    `fallbacks`: there is a group to turn to. `retry_after_s`: the configuration's shortest pause. `wanted`: a
    policy asks for retries of this very class of errors."""

    retry: int
    others: bool
    fallbacks: bool
    retry_after_s: float
    wanted: bool = False


def retries_max(
    requested: int | None, deployment: Deployment, group: str, config: RouterConfig, kind: ErrorKind
) -> tuple[int, bool]:
    """How many retries there may be after this failure, and whether a policy for its class says so.

    The request's own number comes first, then the policies (the deployment's, the group's, the general one),
    then the deployment's number, then the router's.
    """
    if requested is not None:
        return requested, False
    name = CLASS_OF.get(kind, "")
    policies = (deployment.retry_policy, config.group_retry_policies.get(group, {}), config.retry_policy)
    for policy in policies:
        if name in policy:
            return policy[name], True
    own = deployment.num_retries
    return (config.num_retries if own is None else own), False


def worth_of(kind: ErrorKind) -> Worth:
    """See the table: a wrong request stays wrong, a wrong key may be right elsewhere."""
    return _WORTH[kind]


def pause_s(error: ProviderError, situation: Situation, jitter: float) -> float | None:
    """Seconds to wait before the next call in the group; None: no further call in it.

    `jitter`: 0 to 1. A fallback is better than waiting long, or than waiting for the same timeout again.
    """
    worth = Worth.ANYWHERE if situation.wanted else worth_of(error.kind)
    if worth is Worth.NOWHERE:
        return None
    if situation.others:
        return 0.0
    if worth is Worth.ELSEWHERE:
        return None
    if error.kind is ErrorKind.TIMEOUT and situation.fallbacks and not situation.wanted:
        return None
    told_s = error.retry_after_s
    if told_s is not None and told_s > (BACKOFF_S_MAX if situation.fallbacks else RETRY_AFTER_S_MAX):
        return None
    if told_s:
        return told_s + jitter * JITTER_S_MAX
    wait_s = max(min(BACKOFF_S * 2.0**situation.retry, BACKOFF_S_MAX), situation.retry_after_s)
    return wait_s + jitter * min(JITTER_S_MAX, JITTER_SHARE_MAX * wait_s)
