"""A request that goes on in another RPC: which of its groups were tried, and how they failed.

The caller pays for fallbacks by name (RouteOptions.covered_only). One that is not covered is not called; the
error names it, with a token. Asked again with both, the router goes on where it was. The same goes for a
group that is to be asked once more after a call of which nobody knows whether it was served, which may have
used up what is held, and for a stream that broke off. The token is JSON: [[group, reason or "", whether a
provider was called], ...], in the order of the groups; of one that is to be asked again also the number of
that call, and the ids of deployments that failed and that would fail again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from meshgate_chassis.chat.json import dumps, loads
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_router.catalog import Catalog
from meshgate_router.failures import Failure
from meshgate_router.journey import Again, Journey
from meshgate_router.providers.base import ErrorKind, ProviderError

GROUPS_MAX: Final = 32
UNCOVERED: Final = "uncovered_fallbacks"
RESUME: Final = "resume"
UNANSWERED: Final = "unanswered"
UNANSWERED_MAX: Final = 8  # told by an error


def with_uncovered(error: MeshError, journey: Journey) -> MeshError:
    """The error, telling what might still help, and which calls may have to be paid."""
    error = with_unanswered(error, journey)
    if not journey.uncovered:
        return error
    told = {UNCOVERED: dumps(journey.uncovered[:GROUPS_MAX]).decode(), RESUME: token_of(journey)}
    return replace(error, metadata={**error.metadata, **told})


def with_unanswered(error: MeshError, journey: Journey) -> MeshError:
    """The error, telling the calls that went out and of which nobody knows whether they were served: a JSON
    list of [deployment id, provider, upstream model, group]."""
    calls = [
        [leg.deployment.id, leg.deployment.provider, leg.deployment.upstream_model, leg.group]
        for leg in journey.unanswered_legs
    ]
    return replace(error, metadata={**error.metadata, UNANSWERED: dumps(calls[:UNANSWERED_MAX]).decode()})


def token_of(journey: Journey) -> str:
    """See the module."""
    last = {failure.group: failure.error for failure in journey.failures}
    sent = {failure.group for failure in journey.failures if failure.error.sent}
    again = journey.again
    rows = [
        [name, last[name].kind.value if name in last else "", name in sent]
        + ([again.retry, again.spent, again.hopeless] if again is not None and again.group == name else [])
        for name in journey.groups
    ]
    return dumps(rows[:GROUPS_MAX]).decode()


def journey_of(token: str, catalog: Catalog) -> Journey:
    """Raises `invalid_field`."""
    try:
        read = loads(token.encode())
        rows = [(str(name), str(reason), bool(sent)) for name, reason, sent, *_ in read]
        kinds = [ErrorKind(reason) if reason else None for _, reason, _ in rows]
        again = [_again(str(name), *rest) for name, _, _, *rest in read if rest]
    except (MeshError, TypeError, ValueError) as error:
        raise invalid_field("options.resume", "is not what an error told") from error
    if not 1 <= len(rows) <= GROUPS_MAX:
        raise invalid_field("options.resume", f"must name 1 to {GROUPS_MAX} groups")
    journey = Journey(groups=[name for name, _, _ in rows], again=again[-1] if again else None)
    for (name, _, sent), kind in zip(rows, kinds, strict=True):
        group = catalog.find(name)
        if kind is not None and group is not None:
            earlier = ProviderError(kind, "it failed before", 502, sent=sent)
            journey.failures.append(Failure(name, group.deployments[0], earlier))
    return journey


def _again(group: str, retry: int, spent: Sequence[str], hopeless: Sequence[str]) -> Again:
    """Raises TypeError and ValueError for what `token_of` does not write."""
    if not 0 <= int(retry) <= GROUPS_MAX:
        raise ValueError("no number of a retry")
    return Again(group, int(retry), [str(each) for each in spent], [str(each) for each in hopeless])
