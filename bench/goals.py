"""What the gateway is meant to reach, beside what it reached in this run (issue 7). Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.session import Result
from bench.verdict import Verdict

PEER = "litellm-2"
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
    Goal("CPU per chunk, 50 at once", "stream_chunk_cpu_us", 100, "us"),
    Goal("CPU per chunk, 10 ms apart", "paced_chunk_cpu_us", 100, "us"),
    Goal("first token added, p50", "paced_first_token_p50_added_ms", 5, "ms"),
)
TRACED = (("meshgate-traced-1%", 0.10), ("meshgate-traced-100%", 0.40))
START_S = 3.0


def reached(results: Mapping[str, Result], ours: str = "meshgate") -> list[Verdict]:
    """One line for each goal that this run measured."""
    if ours not in results:
        return []
    return list(_all(results, results[ours]))


def _all(results: Mapping[str, Result], mine: Result) -> Iterator[Verdict]:
    peer = results.get(PEER)
    if peer is not None:
        faster = _median(mine, "saturation_per_s") / _median(peer, "saturation_per_s")
        cheaper = _median(mine, "saturation_cpu_us") / _median(peer, "saturation_cpu_us")
        yield Verdict("requests/s >= 3 x LiteLLM's", faster >= 3, f"{faster:.1f} x")
        yield Verdict("CPU per request <= 1/3 of LiteLLM's", cheaper <= 1 / 3, f"{cheaper:.2f}")
    for goal in GOALS:
        if goal.figure in mine.figures:
            value = _median(mine, goal.figure)
            title = f"{goal.title} <= {goal.most:g} {goal.unit}"
            yield Verdict(title, value <= goal.most, f"{value:,.1f}")
    for name, most in TRACED:
        for load, told in (("saturation", "at 32 clients"), ("rate50", "at 50/s")):
            figure = f"{load}_cpu_us"
            if name in results and figure in results[name].figures and figure in mine.figures:
                dearer = _median(results[name], figure) / _median(mine, figure) - 1
                title = f"{name.removeprefix('meshgate-')}, CPU {told} <= +{most:.0%}"
                yield Verdict(title, dearer <= most, f"{dearer:+.0%}")
    ours = {name: sizes for name, sizes in mine.memory_after.items() if name not in STORES}
    if ours:
        name, most_bytes = max(((name, resident) for name, (_, resident) in ours.items()), key=lambda o: o[1])
        title = f"memory of each process <= {MEMORY_MB} MB resident"
        largest = most_bytes / MEGABYTE
        yield Verdict(title, largest <= MEMORY_MB, f"{name} {largest:.0f} MB")
    if "warm" in mine.start_s:
        yield Verdict(
            f"start <= {START_S:g} s", mine.start_s["warm"] <= START_S, f"{mine.start_s['warm']:.1f} s"
        )


def _median(result: Result, figure: str) -> float:
    return result.figures[figure].median
