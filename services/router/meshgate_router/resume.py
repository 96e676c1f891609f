"""A request that goes on in another RPC: which of its groups were tried, and how they failed.

The caller pays for fallbacks by name (RouteOptions.covered_only). One that is not covered is not called; the
error names it, with a token. Asked again with both, the router goes on where it was. The token is JSON:
[[group, reason or "", whether a provider was called], ...], in the order of the groups.
"""

from dataclasses import replace
from typing import Final

from meshgate_chassis.chat.json import dumps, loads
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_router.catalog import Catalog
from meshgate_router.failures import Failure
from meshgate_router.journey import Journey
from meshgate_router.providers.base import ErrorKind, ProviderError

GROUPS_MAX: Final = 32
UNCOVERED: Final = "uncovered_fallbacks"
RESUME: Final = "resume"


def with_uncovered(error: MeshError, journey: Journey) -> MeshError:
    """The error, telling what might still help."""
    if not journey.uncovered:
        return error
    told = {UNCOVERED: dumps(journey.uncovered[:GROUPS_MAX]).decode(), RESUME: token_of(journey)}
    return replace(error, metadata={**error.metadata, **told})


def token_of(journey: Journey) -> str:
    """See the module."""
    last = {failure.group: failure.error for failure in journey.failures}
    sent = {failure.group for failure in journey.failures if failure.error.sent}
    rows = [[name, last[name].kind.value if name in last else "", name in sent] for name in journey.groups]
    return dumps(rows[:GROUPS_MAX]).decode()


def journey_of(token: str, catalog: Catalog) -> Journey:
    """Raises `invalid_field`."""
    try:
        rows = [(str(name), str(reason), bool(sent)) for name, reason, sent in loads(token.encode())]
        kinds = [ErrorKind(reason) if reason else None for _, reason, _ in rows]
    except (MeshError, TypeError, ValueError) as error:
        raise invalid_field("options.resume", "is not what an error told") from error
    if not 1 <= len(rows) <= GROUPS_MAX:
        raise invalid_field("options.resume", f"must name 1 to {GROUPS_MAX} groups")
    journey = Journey(groups=[name for name, _, _ in rows])
    for (name, _, sent), kind in zip(rows, kinds, strict=True):
        group = catalog.find(name)
        if kind is not None and group is not None:
            earlier = ProviderError(kind, "it failed before", 502, sent=sent)
            journey.failures.append(Failure(name, group.deployments[0], earlier))
    return journey
