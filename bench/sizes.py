"""`make bench-sizes`: what a request costs by the number of keys, of cache entries, of ledger entries.

One mesh for each size, side by side, turn by turn: what differs is the size and nothing else.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from bench.beside import Start, measured, ours
from bench.filling import (
    MANY_KEYS,
    fill_cache,
    fill_entries,
    fill_keys,
    room_for_cache_entries,
    room_for_entries,
)
from bench.machine import other_load
from bench.mesh import Variant, redis_program, started
from bench.peers import our_version
from bench.prompts import Target
from bench.record import result_record, write_alone
from bench.session import Result
from bench.subject import Place, Subject
from bench.table import aligned, cell
from bench.turn import Durations
from bench.verdict import Verdict, show_verdicts

SIZES: Mapping[str, tuple[int, ...]] = {
    "keys": (1, 1_000, 100_000, 1_000_000),
    "cache": (0, 10_000, 100_000, 1_000_000),
    "entries": (0, 100_000, 1_000_000, 10_000_000),
}
LOADS = {
    "keys": frozenset({"rate50"}),
    "cache": frozenset({"rate50", "hit"}),
    "entries": frozenset({"rate50"}),
}
QUICK_MOST = 100_000
ROUNDS = 3
SIZED = Durations(warm_up=2, saturation=4, rate50=8, rate200=0, hit=4, stream=0, sweep=0)
FILL_PER_S = {"keys": 3_000, "cache": 25_000, "entries": 17_000}  # about; told beforehand
TURN_S = 20.0
ROWS = (
    ("CPU us/request, 32 clients", "saturation_cpu_us"),
    ("  ledger", "saturation_cpu_us_ledger"),
    ("  PostgreSQL", "saturation_cpu_us_postgresql"),
    ("  cache", "saturation_cpu_us_cache"),
    ("  Redis", "saturation_cpu_us_redis"),
    ("requests/s, 32 clients", "saturation_per_s"),
    ("CPU us/request, 50/s", "rate50_cpu_us"),
    ("  ledger", "rate50_cpu_us_ledger"),
    ("  PostgreSQL", "rate50_cpu_us_postgresql"),
    ("ms at 50/s, p50", "rate50_p50_ms"),
    ("  p99", "rate50_p99_ms"),
    ("cache hit ms, p50", "hit_p50_ms"),
    ("  CPU us/request", "hit_cpu_us"),
    ("  share of hits", "hit_share"),
    ("machine: ms for the same work", "fixed_work_ms"),
)


@dataclass(frozen=True, slots=True)
class Sizing:
    """What is asked for. `most`: no size above it; 0: all."""

    dimensions: Sequence[str] = tuple(SIZES)
    most: int = 0
    rounds: int = 0


def sizes(asked: Sizing, *, quick: bool) -> int:
    """Returns 1 when an answer was wrong or missing, else 0."""
    most = asked.most or (QUICK_MOST if quick else 10**9)
    rounds = asked.rounds or (1 if quick else ROUNDS)
    wanted = {name: _sizes(name, most, quick=quick) for name in asked.dimensions}
    print(f"{', '.join(wanted)}: about {_expected_s(wanted, rounds) / 60:.0f} minutes", flush=True)
    busy = other_load()
    record: dict[str, Any] = {
        "cores_busy_before": round(busy, 2),
        "rounds": rounds,
        "versions": our_version(),
    }
    verdicts = []
    for name, counts in wanted.items():
        results = measured([_start(name, count) for count in counts], SIZED, rounds)
        print(f"\n{name}\n{_table(results)}\n", flush=True)
        record[name] = {subject: result_record(result) for subject, result in results.items()}
        failed = sum(result.failures.total() for result in results.values())
        answered = sum(result.answered for result in results.values())
        verdicts.append(
            Verdict(f"{name}: every answer is right", not failed, f"{failed} of {answered + failed} are not")
        )
    return show_verdicts(verdicts, write_alone("quick-sizes" if quick else "sizes", record, verdicts))


def _sizes(dimension: str, most: int, *, quick: bool) -> list[int]:
    """Up to `most`; of a quick run the smallest and the largest."""
    found = [size for size in SIZES[dimension] if size <= most]
    return found if not quick or len(found) < 3 else [found[0], found[-1]]


def _start(dimension: str, count: int) -> Start:
    """How a mesh of this size is started; what there is no room for is left smaller, and its name says so."""
    return lambda place: sized(place, dimension, count)


@contextmanager
def sized(place: Place, dimension: str, count: int) -> Iterator[Subject]:
    """A mesh with so many of one thing. Its name has the number that there really is room for."""
    count = _with_room(place, dimension, count)
    name = f"{dimension}-{count}"
    variant = _variant(name)
    began_s = monotonic()

    def prepare(state: Path) -> None:
        if dimension == "entries" and count:
            print(f"  filling {count:,} entries", flush=True)
            found = asyncio.run(fill_entries(state, count))
            print(f"  {found:,} entries after {monotonic() - began_s:.0f} s", flush=True)

    with started(place, variant, prepare) as running:
        target = Target(running.port, key=running.key)
        if dimension == "keys" and count > 1:
            found = asyncio.run(fill_keys(running, count))
            print(f"  {found:,} keys after {monotonic() - began_s:.0f} s", flush=True)
            target = replace(target, key=MANY_KEYS, keys=count)
        if dimension == "cache" and count:
            found = fill_cache(running, target, count)
            print(f"  {found:,} cache entries after {monotonic() - began_s:.0f} s", flush=True)
        yield Subject(
            name,
            target,
            replace(target, model="bench-paced"),
            running.roots,
            variant.version,
            loads=LOADS[dimension],
            has_cache=running.redis_port > 0,
            start_s=running.start_s,
        )


def _variant(name: str) -> Variant:
    return ours(name, redis=redis_program() is not None)


def _with_room(place: Place, dimension: str, count: int) -> int:
    room = count
    if dimension == "entries":
        room = room_for_entries(place.folder)
    if dimension == "cache":
        room = room_for_cache_entries() if redis_program() is not None else 0
    if room < count:
        print(f"  no room here for {count:,} {dimension}: {room:,} instead", flush=True)
    return min(room, count)


def _expected_s(wanted: Mapping[str, Sequence[int]], rounds: int) -> float:
    filling = sum(count / FILL_PER_S[name] for name, counts in wanted.items() for count in counts)
    return filling + sum(len(counts) for counts in wanted.values()) * (TURN_S * rounds + 10)


def _table(results: Mapping[str, Result]) -> str:
    rows = [["", *results]]
    rows += [
        [title, *(cell(one.figures.get(figure)) for one in results.values())]
        for title, figure in ROWS
        if any(figure in one.figures for one in results.values())
    ]
    rows.append(["start s, later", *(f"{one.start_s.get('warm', 0):.1f}" for one in results.values())])
    return aligned(rows)
