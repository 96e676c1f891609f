"""A whole run: the subjects side by side, turn by turn in changing order, and what came out."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import processes
from bench.statistics import Spread, spreads
from bench.subject import Subject
from bench.turn import Durations, Turn, TurnRunner

DIRECT = "direct"


@dataclass(slots=True)
class Result:
    """Of one subject. Memory: name -> (proportional, resident) bytes."""

    version: str
    figures: dict[str, Spread]
    failures: Counter[str]
    answered: int
    start_s: dict[str, float]
    memory_idle: dict[str, tuple[int, int]]
    memory_after: dict[str, tuple[int, int]]


@dataclass(slots=True)
class _Taken:
    subject: Subject
    memory_idle: dict[str, tuple[int, int]]
    turns: list[Turn] = field(default_factory=list)


async def measure(subjects: Sequence[Subject], durations: Durations, rounds: int) -> dict[str, Result]:
    """Load by load, so that what is compared is seconds apart; round 1 forwards, round 2 backwards, and so
    on: a slow minute hits nobody twice at the same place.
    """
    runner = TurnRunner(durations)
    taken = {one.name: _Taken(one, processes.memory_bytes(one.roots())) for one in subjects}
    for number in range(rounds):
        ordered = subjects if number % 2 == 0 else list(reversed(subjects))
        began_s = time.monotonic()
        turns = {subject.name: Turn() for subject in ordered}
        for load in runner.loads(sweep=number == 0):
            for subject in ordered:
                await load(subject, turns[subject.name])
        print(f"  round {number + 1} of {rounds}, {time.monotonic() - began_s:.0f} s", flush=True)
        for name, turn in turns.items():
            taken[name].turns.append(turn)
            _say(name, turn)
    _add_to_direct(taken)
    return {name: _result(one) for name, one in taken.items()}


def _add_to_direct(taken: dict[str, _Taken]) -> None:
    """Added latency: a percentile less the same percentile without a gateway, in the same round."""
    if DIRECT not in taken:
        return
    for name, one in taken.items():
        for turn, direct in zip(one.turns, taken[DIRECT].turns, strict=True):
            for figure, value in list(turn.figures.items()):
                if name != DIRECT and figure.endswith("_ms") and figure in direct.figures:
                    turn.figures[f"{figure[:-3]}_added_ms"] = value - direct.figures[figure]


def _result(one: _Taken) -> Result:
    return Result(
        version=one.subject.version,
        figures=spreads([turn.figures for turn in one.turns]),
        failures=sum((turn.failures for turn in one.turns), Counter()),
        answered=sum(turn.answered for turn in one.turns),
        start_s=dict(one.subject.start_s),
        memory_idle=one.memory_idle,
        memory_after=processes.memory_bytes(one.subject.roots()),
    )


def _say(name: str, turn: Turn) -> None:
    per_second, cpu = turn.figures["saturation_per_s"], turn.figures.get("saturation_cpu_us", float("nan"))
    failed = f", {turn.failures.total()} FAILED" if turn.failures else ""
    print(f"    {name:<16} {per_second:8.0f}/s {cpu:7.0f} us{failed}", flush=True)
