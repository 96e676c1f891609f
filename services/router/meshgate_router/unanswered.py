"""Why a request that is over has no answer, from what happened on its way: pure."""

from meshgate_chassis.config.names import ModelGroup
from meshgate_chassis.errors import MeshError
from meshgate_router.failures import (
    cooling_down,
    error_of_failures,
    limits_reached,
    not_permitted,
    too_late,
)
from meshgate_router.journey import Journey
from meshgate_router.resume import with_uncovered


def error_of(group: ModelGroup, journey: Journey) -> MeshError:
    """Nothing helped: why, and what might still. `group`: where it began."""
    return with_uncovered(_why(group, journey), journey)


def last_reason(journey: Journey) -> str:
    """Of the latest failure; else why nobody was called."""
    return journey.failures[-1].error.kind.value if journey.failures else skip_reason(journey)


def skip_reason(journey: Journey) -> str:
    """Why nobody was called."""
    if journey.limited_s is not None:
        return "DEPLOYMENT_LIMITS_REACHED"
    if journey.cooling_s is not None:
        return "DEPLOYMENTS_COOLING_DOWN"
    return "DEPLOYMENTS_NOT_PERMITTED" if journey.not_permitted else "DEADLINE_TOO_CLOSE"


def _why(group: ModelGroup, journey: Journey) -> MeshError:
    if journey.failures:
        return error_of_failures(group.name, journey.failures, journey.counts)
    if journey.limited_s is not None:
        waits = [wait_s for wait_s in (journey.limited_s, journey.cooling_s) if wait_s is not None]
        return limits_reached(group.name, min(waits))
    if journey.cooling_s is not None:
        return cooling_down(group.name, journey.cooling_s)
    if journey.not_permitted:
        return not_permitted(group.name)
    return too_late(group.name)
