"""One request on its way: what is asked for, and what happened so far. Values, no decisions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from meshgate_chassis.config.model import Deployment
from meshgate_router.credentials import NONE, OwnCredentials
from meshgate_router.failures import Counts, Failure, Passed
from meshgate_router.legs import LEGS_MAX, Leg, LegReason


@dataclass(frozen=True, slots=True)
class RouteTask:
    """`deadline_s`: on the monotonic clock. `num_retries`, `timeout_s`: None: as configured. `fallbacks`: not
    empty: instead of all configured ones. `remaining_budget_usd_nanos`: None: no budget. `prompt_tokens`:
    estimated. `output_tokens_max`: None: not said."""

    model: str
    deadline_s: float
    stream: bool
    num_retries: int | None = None
    timeout_s: float | None = None
    fallbacks: Sequence[str] = ()
    request_id: str = ""
    tags: Sequence[str] = ()
    remaining_budget_usd_nanos: int | None = None
    prompt_tokens: int = 0
    output_tokens_max: int | None = None
    credentials: OwnCredentials = NONE  # the tenant's
    covered: Collection[str] | None = None  # fallbacks that may be called; None: all
    resume: str = ""  # see resume.py
    extra_calls: bool = True  # hedges


@dataclass(frozen=True, slots=True)
class Again:
    """A group that is to be asked once more. `retry`: the number of that call; `spent` and `hopeless`: ids of
    deployments that failed, and of those that would fail again."""

    group: str
    retry: int
    spent: Sequence[str]
    hopeless: Sequence[str]


@dataclass(slots=True)
class Journey:
    """What happened to a request so far. `cooling_s`, `limited_s`: seconds until the first deployment that
    was skipped because of its cooldown, or of its limits, may be called. `not_permitted`, `too_long`: a group
    had no deployment for the request's tags, or for its length. `legs`: calls besides that which answers.
    `uncovered`: groups that might have helped, and whose price nobody has granted. `again`: one of them was
    asked before."""

    failures: list[Failure] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    retries: int = 0
    cooling_s: float | None = None
    limited_s: float | None = None
    not_permitted: bool = False
    too_long: bool = False
    passed: list[Passed] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    again: Again | None = None

    def unanswered(self, deployment: Deployment, group: str) -> None:
        """A call went out, and nobody knows whether it was served: it may have to be paid."""
        if len(self.legs) < LEGS_MAX:
            self.legs.append(Leg(deployment, group, LegReason.UNANSWERED, None, False, ""))

    @property
    def unanswered_legs(self) -> Sequence[Leg]:
        """See `unanswered`."""
        return [leg for leg in self.legs if leg.reason is LegReason.UNANSWERED]

    @property
    def counts(self) -> Counts:
        return Counts(self.retries, max(0, len(self.groups) - 1), self.passed)

    def skipped(self, *, cooling_s: float | None = None, limited_s: float | None = None) -> None:
        """Keeps the shortest of each."""
        self.cooling_s = _least(self.cooling_s, cooling_s)
        self.limited_s = _least(self.limited_s, limited_s)


def _least(known_s: float | None, new_s: float | None) -> float | None:
    if known_s is None or new_s is None:
        return new_s if known_s is None else known_s
    return min(known_s, new_s)
