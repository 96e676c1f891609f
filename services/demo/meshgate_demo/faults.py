"""What the demo provider can be told to do wrong, and for how many requests.

    NAME[:ARGUMENT][@MODEL], for example 429:2 (Retry-After: 2), stall_mid_stream:3, slow_drip:0.5@demo

Statuses: 400 401 403 404 408 429 500 502 503 504 529. The other names are the members of FaultKind.
Invariant: a fault with a count is used exactly that many times, in order of arrival.
"""

import re
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

from meshgate_demo.conversation import InvalidRequestError

FAULTS_MAX = 100
COUNT_MAX = 1_000_000
HUGE_ANSWER_TOKENS = 100_000
SLOW_DRIP_S = 0.2
CHUNKS_BEFORE_FAULT = 3
RETRY_AFTER_S = 1.0


class FaultKind(StrEnum):
    """ARGUMENT: what the number after the colon means, and its default."""

    STATUS = "status"  # an error answer; ARGUMENT: seconds of Retry-After, for 429 and 503 (1 for 429)
    HANG_BEFORE_HEADERS = "hang_before_headers"  # no byte, until the caller gives up
    HANG_BEFORE_FIRST_CHUNK = "hang_before_first_chunk"  # headers, then no byte
    STALL_MID_STREAM = "stall_mid_stream"  # ARGUMENT: events before it (3)
    CUT_MID_STREAM = "cut_mid_stream"  # the connection ends; ARGUMENT: events before it (3)
    ERROR_MID_STREAM = "error_mid_stream"  # an error event; ARGUMENT: events before it (3)
    MALFORMED_CHUNK = "malformed_chunk"  # one event that is no JSON; ARGUMENT: events before it (3)
    END_WITHOUT_FINISH = "end_without_finish"  # a clean end without finish reason; ARGUMENT: events (3)
    WRONG_CONTENT_TYPE = "wrong_content_type"  # 200 with a page of HTML
    SLOW_DRIP = "slow_drip"  # every event in two halves; ARGUMENT: seconds between halves (0.2)
    HUGE_ANSWER = "huge_answer"  # ARGUMENT: tokens (100,000), without delay
    CLOSE_CONNECTION = "close_connection"  # the connection is reset instead of an answer


_DEFAULT_ARGUMENTS = {
    FaultKind.SLOW_DRIP: SLOW_DRIP_S,
    FaultKind.HUGE_ANSWER: HUGE_ANSWER_TOKENS,
}
_NAMES = frozenset(kind.value for kind in FaultKind) - {FaultKind.STATUS.value}
_STATUSES = frozenset({400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 529})
_SYNTAX = re.compile(r"(?P<name>[a-z0-9_]+)(?::(?P<argument>\d+(?:\.\d+)?))?(?:@(?P<model>\S+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """`status`: set for STATUS only. `model`: the fault concerns only this model; None: all."""

    kind: FaultKind
    argument: float
    status: int | None = None
    retry_after_s: float | None = None
    model: str | None = None

    @property
    def events_before(self) -> int:
        return int(self.argument)

    @property
    def name(self) -> str:
        return str(self.status) if self.status else self.kind.value

    def concerns(self, model: str) -> bool:
        return self.model is None or self.model == model


def parse_fault(text: str) -> Fault:
    """Raises InvalidRequestError listing the names."""
    match = _SYNTAX.fullmatch(text.strip())
    if match is None:
        raise InvalidRequestError(f"a fault is NAME[:ARGUMENT][@MODEL], not {text!r}", "fault")
    name, model = match["name"].removeprefix("status_"), match["model"]
    argument = float(match["argument"]) if match["argument"] else None
    if name.isdigit() and int(name) in _STATUSES:
        default = RETRY_AFTER_S if name == "429" else None
        retry_after_s = argument if argument is not None else default
        return Fault(FaultKind.STATUS, 0, int(name), retry_after_s, model)
    if name not in _NAMES:
        kinds = ", ".join(sorted(_NAMES))
        statuses = ", ".join(str(status) for status in sorted(_STATUSES))
        raise InvalidRequestError(f"no fault {name!r}; there are {statuses}, {kinds}", "fault")
    kind = FaultKind(name)
    if argument is None:
        argument = _DEFAULT_ARGUMENTS.get(kind, CHUNKS_BEFORE_FAULT)
    return Fault(kind, argument, model=model)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """`count`: requests it is for; None: until it is removed."""

    fault: Fault
    count: int | None


class FaultBoard:
    """The faults that the admin endpoint has planned. One owner: the event loop."""

    def __init__(self) -> None:
        self._planned: deque[PlannedFault] = deque(maxlen=FAULTS_MAX)

    def plan(self, planned: list[PlannedFault]) -> None:
        """Replaces all."""
        if len(planned) > FAULTS_MAX:
            raise InvalidRequestError(f"at most {FAULTS_MAX} faults", "faults")
        self._planned = deque(planned, maxlen=FAULTS_MAX)

    def planned(self) -> list[PlannedFault]:
        return list(self._planned)

    def take(self, model: str) -> Fault | None:
        """The first fault that concerns the model; its count goes down by one."""
        for index, planned in enumerate(self._planned):
            if not planned.fault.concerns(model):
                continue
            if planned.count is not None and planned.count <= 1:
                del self._planned[index]
            elif planned.count is not None:
                self._planned[index] = replace(planned, count=planned.count - 1)
            return planned.fault
        return None


def planned_fault_from(body: object) -> PlannedFault:
    """{"fault": "429:2", "count": 3, "model": "demo"}; count and model are optional."""
    if not isinstance(body, dict) or not isinstance(body.get("fault"), str | int):
        raise InvalidRequestError('a fault is {"fault": NAME, "count": N}', "fault")
    fault, count, model = parse_fault(str(body["fault"])), body.get("count"), body.get("model")
    if count is not None and (
        isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= COUNT_MAX
    ):
        raise InvalidRequestError(f"count must be 1 to {COUNT_MAX}", "count")
    return PlannedFault(fault if model is None else replace(fault, model=str(model)), count)
