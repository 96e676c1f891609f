"""What the gateway is meant to reach, beside what it reached in this run (issue 7). Pure.

Some bars are absolute and come from another machine, on which LiteLLM added 12 ms at 50 requests/s and took
8,040 us of CPU for a request. Whether a bar is met is told by the absolute figure alone. Beside it stands
what the figure would be if this machine were that one, judged by what LiteLLM needs here, in two ways;
neither is exact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.asking import AT_A_RATE, CLOSED
from bench.session import Result
from bench.statistics import Spread
from bench.table import aligned

PEER = "litellm-2"
PEER_P50_MS, PEER_CPU_US = 12.0, 8_040.0  # LiteLLM's, where the bars come from
QUEUES_ABOVE = 0.5  # of what it can do: then its latency is waiting, and scaling by it flatters
MEGABYTE = 2**20
MEMORY_MB = 120
STORES = ("postgresql", "redis")  # not ours


@dataclass(frozen=True, slots=True)
class Goal:
    """At most so much of a figure of ours."""

    title: str
    figure: str
    most: float
    unit: str


GOALS = (
    Goal("added at 50/s, p50", "rate50_p50_added_ms", 5, "ms"),
    Goal("added at 50/s, p99", "rate50_p99_added_ms", 12, "ms"),
    Goal("exact cache hit, p50", "hit_p50_ms", 4, "ms"),
    Goal("CPU per chunk, 50 as fast as they come, 8 clients", "stream_chunk_cpu_us", 100, "us"),
    Goal("CPU per chunk, 10 ms apart, 4 streams at once", "paced_chunk_cpu_us", 100, "us"),
    Goal("first token added, p50", "paced_first_token_p50_added_ms", 5, "ms"),
)
TRACED = (("traced-1%", 0.10), ("traced-100%", 0.40))
START_S = 3.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much quicker the machine of the bars is, judged by LiteLLM's p50 at 50/s and by its CPU for a
    request at 32 clients; 0: not measured here. `told`: in words, with what is wrong with it.
    """

    by_p50: float
    by_cpu: float
    told: str


@dataclass(frozen=True, slots=True)
class Reached:
    """One bar. `told`: what this run measured. `scaled_by_p50`, `scaled_by_cpu`: see Scale; None: the bar
    does not depend on the machine's speed, or LiteLLM was not measured.
    """

    title: str
    passed: bool
    told: str
    scaled_by_p50: float | None = None
    scaled_by_cpu: float | None = None
    most: float = 0.0


def reached(
    results: Mapping[str, Result], traced: Mapping[str, Result], ours: str = "meshgate"
) -> list[Reached]:
    """One line for each goal that this run measured. `traced`: what was asked at the same time."""
    found = [] if ours not in results else list(_all(results, results[ours]))
    return found + list(_tracing(traced))


def scale(results: Mapping[str, Result]) -> Scale:
    """By LiteLLM in this very run."""
    figures = results[PEER].figures if PEER in results else {}
    p50, cpu = figures.get("rate50_p50_added_ms"), figures.get("saturation_cpu_us")
    told = []
    if p50 is not None and p50.median > 0:
        busy = 50 / figures["saturation_per_s"].median
        told.append(f"its p50: {PEER_P50_MS:g} ms / {_range(p50, '.1f')} ms")
        if busy > QUEUES_ABOVE:
            told.append(f"it is {busy:.0%} busy at 50/s here and queues, so scaling by its p50 flatters")
    if cpu is not None and cpu.median > 0:
        told.append(f"its CPU: {PEER_CPU_US:,.0f} us / {_range(cpu, ',.0f')} us")
    return Scale(
        PEER_P50_MS / p50.median if p50 is not None and p50.median > 0 else 0.0,
        PEER_CPU_US / cpu.median if cpu is not None and cpu.median > 0 else 0.0,
        "; ".join(told),
    )


def goals_table(results: Mapping[str, Result], traced: Mapping[str, Result]) -> str:
    """Every bar, absolute; scaled beside it. Empty when none was measured."""
    found, by = reached(results, traced), scale(results)
    if not found:
        return ""
    scaled = bool(by.by_p50 or by.by_cpu)
    rows = [["    bar", "measured", *(("scaled by LiteLLM's p50", "by its CPU") if scaled else ())]]
    for one in found:
        cells = (_scaled(one.scaled_by_p50, one.most), _scaled(one.scaled_by_cpu, one.most))
        rows.append([f"{'yes' if one.passed else 'NO '} {one.title}", one.told, *(cells if scaled else ())])
    told = "what it is meant to reach (yes, NO: of what was measured, never of what is scaled)"
    note = [f"scaled to the machine of the bars by LiteLLM here: {by.told}"] if scaled else []
    return "\n".join([told, aligned(rows), *note])


def _all(results: Mapping[str, Result], mine: Result) -> Iterator[Reached]:
    peer = results.get(PEER)
    if peer is not None:
        ours, theirs = mine.figures["saturation_per_s"], peer.figures["saturation_per_s"]
        faster, least = ours.median / theirs.median, ours.low / theirs.high
        told = f"{faster:.1f} x (worst of ours to best of its rounds: {least:.1f} x)"
        yield Reached("requests/s >= 3 x LiteLLM's", faster >= 3, told)
        ours, theirs = mine.figures["saturation_cpu_us"], peer.figures["saturation_cpu_us"]
        cheaper, most = ours.median / theirs.median, ours.high / theirs.low
        told = f"{cheaper:.2f} (worst of ours to best of its rounds: {most:.2f})"
        yield Reached("CPU per request <= 1/3 of LiteLLM's", cheaper <= 1 / 3, told)
    by = scale(results)
    for goal in GOALS:
        if goal.figure in mine.figures:
            title = f"{goal.title} <= {goal.most:g} {goal.unit}"
            yield _absolute(title, mine.figures[goal.figure], goal.most, by)
    services = {name: sizes for name, sizes in mine.memory_after.items() if name not in STORES}
    if services:
        name = max(services, key=lambda one: services[one][1])
        proportional, resident = (size / MEGABYTE for size in services[name])
        title = f"memory of each process <= {MEMORY_MB} MB resident"
        told = f"{name} {resident:.0f} MB (proportional: {proportional:.0f})"
        yield Reached(title, resident <= MEMORY_MB, told)
    if "warm" in mine.start_s:
        yield _absolute(f"warm start <= {START_S:g} s", Spread((mine.start_s["warm"],)), START_S, by)


def _absolute(title: str, figure: Spread, most: float, by: Scale) -> Reached:
    value = figure.median
    by_p50, by_cpu = (value * factor if factor else None for factor in (by.by_p50, by.by_cpu))
    return Reached(title, value <= most, _range(figure, ",.1f"), by_p50, by_cpu, most)


def _tracing(traced: Mapping[str, Result]) -> Iterator[Reached]:
    for name, most in TRACED:
        for asking in (AT_A_RATE, CLOSED):
            ratio = traced[name].figures.get(f"{asking.name}_cpu_us_ratio") if name in traced else None
            if ratio is not None:
                title = f"{name}, CPU at {asking.title} <= {1 + most:.2f} x untraced in the same slice"
                yield Reached(title, ratio.median <= 1 + most, f"{_range(ratio, '.2f')} x")


def _scaled(value: float | None, most: float) -> str:
    return "-" if value is None else f"{value:,.1f} ({'below' if value <= most else 'ABOVE'})"


def _range(spread: Spread, shape: str) -> str:
    """Median, and what it was between."""
    if len(spread.turns) == 1:
        return format(spread.median, shape)
    return f"{spread.median:{shape}} ({spread.low:{shape}} {spread.high:{shape}})"
