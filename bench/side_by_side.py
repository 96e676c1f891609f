"""Meshes that are asked at the same time, so that a slow second hits each of them alike: what one costs is
told as a ratio to the first of them in the same slice.

At a rate they are asked one after the other, evenly, in an order that changes from slice to slice and goes
through all there are, so that none always comes behind a certain other. What goes on between two slices (an
export of spans, say) counts for the slice before.
"""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns

from bench import processes
from bench.asking import Asking, Slices, offsets_ns, order
from bench.load import Load, Sample, closed_loop, scheduled
from bench.prompts import requests
from bench.session import Result
from bench.statistics import percentile, spreads
from bench.subject import PACED, PLAIN, Subject

HEAD_START_NS = 200_000_000  # until every mesh has its connections
SETTLE_S = 0.4  # what goes on after the last answer (stores, settlements) is over by then
FIRST_NUMBER = 500_000_000_000  # of prompts: far from those of turns
NUMBERS_EACH = 10_000_000
RATIOS = ("cpu_us", "switches", "p50_ms", "p99_ms")  # figures that are told beside the first mesh's, too


@dataclass(slots=True)
class _Taken:
    subject: Subject
    slices: list[dict[str, float]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    answered: int = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    """CPU seconds by mesh and process; wake-ups and cache lookups by mesh. All since their start."""

    cpu_s: Mapping[tuple[str, str], float]
    switches: Mapping[str, int]
    lookups: Mapping[str, int]


async def side_by_side(
    subjects: Sequence[Subject], askings: Sequence[Asking], slices: Slices
) -> dict[str, Result]:
    """All at once, load after load. Figures are `<load>_<figure>` and, beside those of the first subject,
    `<load>_<figure>_ratio`; a ratio is of one slice.
    """
    asker = _Asker(subjects)
    taken = {one.name: _Taken(one) for one in subjects}
    idle = {one.name: processes.memory_bytes(one.roots()) for one in subjects}
    for asking in askings:
        await asker.ask(asking, slices.warm_up_s)
        await asyncio.sleep(SETTLE_S)
        before = _read(subjects)
        for _ in range(slices.count):
            samples = await asker.ask(asking, slices.seconds)
            await asyncio.sleep(SETTLE_S)
            after = _read(subjects)
            figures = _figures(asking, samples, before, after)
            before = after
            for name, sample in samples.items():
                taken[name].slices.append(figures[name])
                taken[name].failures += sample.failures
                taken[name].answered += sample.answered
        print(f"  side by side: {asking.title}, {slices.count} x {slices.seconds:g} s", flush=True)
    return {
        name: Result(
            version=one.subject.version,
            figures=spreads(one.slices),
            failures=one.failures,
            answered=one.answered,
            start_s=dict(one.subject.start_s),
            memory_idle=idle[name],
            memory_after=processes.memory_bytes(one.subject.roots()),
        )
        for name, one in taken.items()
    }


class _Asker:
    """Remembers what prompts were used, so that no request is a cache hit by chance."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._subjects = subjects
        self._numbers = itertools.count(FIRST_NUMBER, NUMBERS_EACH)
        self._slice = 0

    async def ask(self, asking: Asking, seconds: float) -> dict[str, Sample]:
        """One slice of all subjects."""
        began_ns = monotonic_ns() + HEAD_START_NS
        places = order(self._slice, len(self._subjects))
        self._slice += 1
        tasks: dict[str, asyncio.Task[Sample]] = {}
        async with asyncio.TaskGroup() as group:
            for position, place in enumerate(places):
                subject = self._subjects[place]
                load = self._load(subject, asking)
                if asking.per_second:
                    due_ns = offsets_ns(position, len(self._subjects), asking, seconds)
                    asked = scheduled(load, due_ns, began_ns=began_ns)
                else:
                    asked = closed_loop(load, asking.clients, seconds)
                tasks[subject.name] = group.create_task(asked)
        return {subject.name: tasks[subject.name].result() for subject in self._subjects}

    def _load(self, subject: Subject, asking: Asking) -> Load:
        target = subject.paced if asking.paced else subject.plain
        assert asking.chunks in (0, PACED.chunks if asking.paced else PLAIN.chunks)
        made = requests(
            target,
            stream=asking.chunks > 0,
            first=next(self._numbers),
            cached=asking.cached,
            same=asking.same,
        )
        return Load(target.port, made, asking.chunks)


def _read(subjects: Sequence[Subject]) -> _Reading:
    roots = {(one.name, process): pid for one in subjects for process, pid in one.roots().items()}
    return _Reading(
        cpu_s=processes.cpu_s(roots),
        switches={one.name: processes.switches(one.roots()) for one in subjects},
        lookups={one.name: one.lookups() for one in subjects if one.lookups},
    )


def _figures(
    asking: Asking, samples: Mapping[str, Sample], before: _Reading, after: _Reading
) -> dict[str, dict[str, float]]:
    """Of one slice, by subject."""
    costs = {name: _costs(asking, name, sample, before, after) for name, sample in samples.items()}
    first = next(iter(costs))
    found = {}
    for name, cost in costs.items():
        told = {f"{asking.name}_{figure}": value for figure, value in cost.items()}
        for figure in RATIOS if name != first else ():
            base = costs[first][figure]
            told[f"{asking.name}_{figure}_ratio"] = cost[figure] / base if base else math.nan
        found[name] = told
    return found


def _costs(asking: Asking, name: str, sample: Sample, before: _Reading, after: _Reading) -> dict[str, float]:
    """For one request, or one chunk, of subject `name`; nan: nothing was answered."""
    pieces = sample.answered * (asking.chunks or 1) or math.nan
    cpu_us = {
        process: (used_s - before.cpu_s.get((owner, process), 0.0)) / pieces * 1e6
        for (owner, process), used_s in after.cpu_s.items()
        if owner == name
    }
    found = {
        "cpu_us": sum(cpu_us.values()),
        **{f"cpu_us_{process}": used for process, used in cpu_us.items()},
        "switches": (after.switches[name] - before.switches[name]) / pieces,
        "p50_ms": percentile(sample.first_tokens_ns or sample.latencies_ns, 0.5) / 1e6,
        "p99_ms": percentile(sample.first_tokens_ns or sample.latencies_ns, 0.99) / 1e6,
        "hits": sample.cache_hits / (sample.answered or math.nan),
        "per_s": sample.per_second,
    }
    if name in after.lookups:
        found["lookups"] = (after.lookups[name] - before.lookups[name]) / (sample.answered or math.nan)
    return found
