"""`make bench-streams`: hundreds of paced streams at once for minutes, on a machine that is 70 % busy.

The pace is found first: the provider is told a gap between chunks until the machine is as busy as it should
be. Then it is steered, for a machine that others share gets slower and faster by a third within minutes, and
delays at 85 % busy tell nothing of delays at 65 %. So that a cost of ours that grows is not steered away, it
is judged, too. Says yes or no to: no stream broke; every stream is on the books once; no drift in the delay
of chunks; none in what a chunk costs, measured by what it costs the benchmark itself.
"""

import asyncio
import os
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from statistics import median
from time import monotonic_ns
from typing import Any

import uvloop

from bench import processes
from bench.beside import ours, workplace
from bench.books import Books, problems, read_books
from bench.connection import Connection, ResponseError, Want
from bench.drift import Slice, drifted
from bench.machine import other_load
from bench.mesh import Running, Variant, redis_program, started
from bench.peers import our_version
from bench.prompts import Target, requests
from bench.provider import Answer, Provider
from bench.record import write_alone
from bench.verdict import Verdict, show_verdicts

STREAMS, MINUTES, QUICK_MINUTES = 500, 5.0, 1.0
BUSY = 0.70  # of all cores, the provider and ourselves counted in
BUSY_NEAR = 0.04  # good enough
CALIBRATIONS_MAX = 6
CALIBRATION_S, SETTLE_S = 5.0, 2.0
STEER_S, STEER_SHARE, STEER_MOST = 10.0, 0.5, 0.1  # every so often, by half of what is wrong, a tenth at most
COST_DRIFT = 0.10  # of the first half's: more is a drift
FIRST_GAP_US, GAP_US_MIN, GAP_US_MAX = 1_000_000, 20_000, 8_000_000
LENGTHS = (20, 40, 60, 80, 100, 120, 140, 160)  # chunks: streams of one length would stay in step
START_S = 5.0  # over which the first 500 streams begin
SLICE_S, QUICK_SLICE_S = 60.0, 10.0
DRAIN_STEP_S = 0.5
DRAIN_GRACE_S = 60.0  # beyond what the longest stream takes
BENCHMARK = "benchmark"  # ourselves and the provider


@dataclass(slots=True)
class Seen:
    """`chunks`: (arrived, took), nanoseconds, of all chunks in order of arrival."""

    sent: Counter[str] = field(default_factory=Counter)
    whole: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    chunks: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """Of the kernel's accounts. `cpu_s`: by process, since its start. `busy_s`, `whole_s`: of the machine.
    `gap_us`: of the provider then."""

    at_ns: int
    gap_us: int
    cpu_s: Mapping[str, float]
    busy_s: float
    whole_s: float


@dataclass(slots=True)
class Measured:
    """The part of a run at the pace that was found. `readings`: before it, and at the end of each slice."""

    calibration: list[dict[str, float]]
    readings: list[Reading] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return (self.readings[-1].at_ns - self.readings[0].at_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Part:
    """What the machine did in one slice. The benchmark itself and its provider do the same for each chunk all
    the time: their CPU per chunk tells how fast the machine was.
    """

    gap_ms: float  # in the end
    busy: float
    cpu_us_per_chunk: Mapping[str, float]

    @staticmethod
    def between(before: Reading, after: Reading, chunks: int) -> "Part":
        cpu = {
            name: round((used - before.cpu_s.get(name, 0.0)) / max(1, chunks) * 1e6, 2)
            for name, used in after.cpu_s.items()
        }
        busy = (after.busy_s - before.busy_s) / max(1e-9, after.whole_s - before.whole_s)
        return Part(after.gap_us / 1e3, round(busy, 3), cpu)

    @property
    def meshgate_us(self) -> float:
        return round(sum(used for name, used in self.cpu_us_per_chunk.items() if name != BENCHMARK), 2)

    @property
    def cost(self) -> float:
        """Of a chunk in ours, for each unit of what it costs the benchmark."""
        return self.meshgate_us / max(1e-9, self.cpu_us_per_chunk[BENCHMARK])


@dataclass(frozen=True, slots=True)
class Streaming:
    """What is asked for. `seconds` 0: as long as usual. `gap_us` 0: the one that makes the machine busy."""

    count: int = STREAMS
    seconds: float = 0.0
    gap_us: int = 0


def streams(asked: Streaming, *, quick: bool) -> int:
    """Returns 1 when a verdict is no, else 0."""
    seconds = asked.seconds or (QUICK_MINUTES if quick else MINUTES) * 60
    whole_s = seconds + CALIBRATIONS_MAX * (CALIBRATION_S + SETTLE_S) + START_S + DRAIN_GRACE_S
    print(
        f"{asked.count} streams for {seconds / 60:g} minutes; up to {whole_s / 60:.0f} minutes in all",
        flush=True,
    )
    load_before = other_load()
    with workplace() as place, started(place, variant("meshgate")) as running:
        run = StreamRun(running, place.provider, asked)
        found = uvloop.run(run.measured(seconds, QUICK_SLICE_S if quick else SLICE_S))
        books = uvloop.run(read_books(running, variant("meshgate").python, run.seen.sent))
    slices = cut(run.seen, found)
    parts = [
        Part.between(before, after, one.chunks)
        for (before, after), one in zip(pairwise(found.readings), slices, strict=True)
    ]
    verdicts = [*judged(run.seen, books, slices), judged_cost(parts)]
    record = _record(run.seen, found, books, slices) | {"slices": _told(slices, parts)}
    record |= {"streams": asked.count, "cores_busy_before": round(load_before, 2)}
    _show(record)
    return show_verdicts(verdicts, write_alone("quick-streams" if quick else "streams", record, verdicts))


def variant(name: str, answer: Answer | None = None) -> Variant:
    """This tree, with a model for each length of stream. `answer`: how the provider gives them all."""
    given = answer or Answer(paced=True)
    models = {_model(length): replace(given, chunks=length) for length in LENGTHS}
    return replace(ours(name, redis=redis_program() is not None), models=models)


class StreamRun:
    """Clients; each asks for the next stream when its last is over."""

    def __init__(self, running: Running, provider: Provider, asked: Streaming, seed: int = 7) -> None:
        self._running = running
        self._provider = provider
        self._count = asked.count
        self._fixed_gap_us = asked.gap_us
        self._dice = random.Random(seed)  # noqa: S311 - lengths of streams, nothing secret
        self._made = {length: self._requests(length, place) for place, length in enumerate(LENGTHS)}
        self._ending = False
        self._active = 0
        self._gap_us = FIRST_GAP_US
        self.seen = Seen()

    async def measured(self, seconds: float, slice_s: float = SLICE_S) -> Measured:
        """Starts the clients, finds the pace, measures, and lets every stream come to its end."""
        self._told_pace(self._fixed_gap_us or FIRST_GAP_US)
        async with asyncio.TaskGroup() as clients:
            for number in range(self._count):
                clients.create_task(self._client(number * START_S / STREAMS))
            await asyncio.sleep(self._count * START_S / STREAMS)
            found = Measured([] if self._fixed_gap_us else await self._calibrate())
            await self._measure(found, seconds, slice_s)
            print("  waiting for the last streams to end", flush=True)
            await self._drain()
        return found

    async def _drain(self) -> None:
        """No new streams; those that are left go faster, so that the machine stays as busy as it was."""
        self._ending = True
        gap_us = self._gap_us
        while self._active:
            self._told_pace(max(GAP_US_MIN, gap_us * self._active // self._count))
            await asyncio.sleep(DRAIN_STEP_S)

    async def _calibrate(self) -> list[dict[str, float]]:
        """Changes the pace until the machine is as busy as it should be; tells every step."""
        steps: list[dict[str, float]] = []
        for _ in range(CALIBRATIONS_MAX):
            await asyncio.sleep(SETTLE_S)
            busy = await _busy_over(CALIBRATION_S)
            steps.append({"gap_ms": self._gap_us / 1e3, "busy": round(busy, 3)})
            print(f"  {self._gap_us / 1e3:.0f} ms between chunks: {busy:.0%} busy", flush=True)
            if abs(busy - BUSY) <= BUSY_NEAR:
                break
            # Below saturation it is proportional; at it, nothing is known but that it is too much.
            factor = 1.6 if busy > 0.95 else min(2.5, max(0.25, busy / BUSY))
            self._told_pace(int(min(GAP_US_MAX, max(GAP_US_MIN, self._gap_us * factor))))
        return steps

    async def _measure(self, found: Measured, seconds: float, slice_s: float) -> None:
        await asyncio.sleep(SETTLE_S)
        found.readings.append(await self._read())
        left_s = seconds
        while left_s > 0:
            await self._steer(min(left_s, slice_s))
            left_s -= slice_s
            found.readings.append(await self._read())
            print(f"  {self.seen.whole} streams whole, {self.seen.failures.total()} broken", flush=True)

    async def _steer(self, seconds: float) -> None:
        """Keeps the machine as busy as it should be, unless the pace was given."""
        while seconds > 0:
            busy = await _busy_over(min(seconds, STEER_S))
            seconds -= STEER_S
            if not self._fixed_gap_us:
                wrong = STEER_SHARE * (busy / BUSY - 1)
                factor = 1 + min(STEER_MOST, max(-STEER_MOST, wrong))
                self._told_pace(int(min(GAP_US_MAX, max(GAP_US_MIN, self._gap_us * factor))))

    async def _read(self) -> Reading:
        cpu_s = await asyncio.to_thread(processes.cpu_s, {**self._running.roots(), BENCHMARK: os.getpid()})
        return Reading(monotonic_ns(), self._gap_us, cpu_s, *processes.machine_cpu_s())

    async def _client(self, delay_s: float) -> None:
        self._active += 1
        await asyncio.sleep(delay_s)
        connection: Connection | None = None
        while not self._ending:
            connection = connection or await self._open()
            length = self._dice.choice(LENGTHS)
            self.seen.sent[_model(length)] += 1
            try:
                async with asyncio.timeout(length * GAP_US_MAX / 1e6 + DRAIN_GRACE_S):
                    await connection.ask(next(self._made[length]), Want(length))
            except (ResponseError, TimeoutError) as error:
                told = "no answer in time" if isinstance(error, TimeoutError) else str(error)[:160]
                self.seen.failures[told] += 1
                connection.close()
                connection = None
            else:
                self.seen.whole += 1
        self._active -= 1
        if connection is not None:
            connection.close()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(tell=lambda arrived, took: self.seen.chunks.append((arrived, took))),
            "127.0.0.1",
            self._running.port,
        )
        return connection

    def _requests(self, length: int, place: int) -> Iterator[bytes]:
        target = Target(self._running.port, model=_model(length), key=self._running.key)
        return requests(target, stream=True, first=place * 10**10)

    def _told_pace(self, gap_us: int) -> None:
        self._gap_us = gap_us
        self._provider.pace(gap_us)


def cut(seen: Seen, found: Measured) -> list[Slice]:
    """The measured part, from reading to reading."""
    ends = [reading.at_ns for reading in found.readings]
    parts: list[list[int]] = [[] for _ in ends[1:]]
    for arrived, took in seen.chunks:
        if ends[0] < arrived <= ends[-1]:
            parts[bisect_left(ends, arrived) - 1].append(took)
    return [Slice.of(part) for part in parts]


def judged(seen: Seen, books: Books, slices: list[Slice]) -> list[Verdict]:
    """The three that issue 7 asks for."""
    failed = [f"{count} x {failure}" for failure, count in seen.failures.most_common(5)]
    wrong = problems(books, seen.sent)
    estimates = sum(line.entries for line in books.lines if line.estimated)
    if estimates:
        wrong.append(f"{estimates} charges are estimates")
    drifts = drifted(slices)
    p50 = " ".join(f"{one.p50_ms:.1f}" for one in slices)
    p99 = " ".join(f"{one.p99_ms:.1f}" for one in slices)
    return [
        Verdict("no stream broke", not failed, "; ".join(failed) or f"{seen.whole:,} streams, all whole"),
        Verdict(
            "every stream is on the books once, nothing is open, they balance",
            not wrong,
            "; ".join(wrong) or f"{sum(line.entries for line in books.lines):,} entries",
        ),
        Verdict(
            "no drift in the delay of chunks", not drifts, "; ".join(drifts) or f"p50 {p50} ms, p99 {p99} ms"
        ),
    ]


def judged_cost(parts: Sequence[Part]) -> Verdict:
    """Whether a chunk costs more in the second half, beyond what the machine got slower."""
    half, title = len(parts) // 2, "no drift in the CPU of a chunk, beside the benchmark's own"
    if half == 0:
        return Verdict(title, False, "too few slices to tell")
    before, after = (median(part.cost for part in some) for some in (parts[:half], parts[-half:]))
    return Verdict(title, after <= before * (1 + COST_DRIFT), f"{before:.2f} -> {after:.2f} x")


async def _busy_over(seconds: float) -> float:
    """Share of all cores that are busy, whoever is."""
    busy, whole = processes.machine_cpu_s()
    await asyncio.sleep(seconds)
    busy_then, whole_then = processes.machine_cpu_s()
    return (busy_then - busy) / max(1e-9, whole_then - whole)


def _model(length: int) -> str:
    return f"streams-{length}"


def _record(seen: Seen, found: Measured, books: Books, slices: list[Slice]) -> dict[str, Any]:
    chunks = sum(one.chunks for one in slices)
    whole = Part.between(found.readings[0], found.readings[-1], chunks)
    return {
        "seconds": round(found.seconds, 1),
        "gap_ms": found.readings[0].gap_us / 1e3,
        "busy": whole.busy,
        "calibration": found.calibration,
        "versions": our_version(),
        "streams_whole": seen.whole,
        "chunks": chunks,
        "chunks_per_s": round(chunks / found.seconds, 1),
        "cpu_us_per_chunk": whole.meshgate_us,
        "cpu_us_per_chunk_by_process": whole.cpu_us_per_chunk,
        "books": {"lines": [asdict(line) for line in books.lines], "verified": books.verified.splitlines()},
    }


def _told(slices: Sequence[Slice], parts: Sequence[Part]) -> list[dict[str, float]]:
    return [
        {**asdict(one), "gap_ms": part.gap_ms, "busy": part.busy, "cpu_us_per_chunk": part.meshgate_us}
        | {"benchmark_us_per_chunk": part.cpu_us_per_chunk[BENCHMARK]}
        for one, part in zip(slices, parts, strict=True)
    ]


def _show(record: Mapping[str, Any]) -> None:
    print(
        f"\n{record['streams']} streams, a chunk every {record['gap_ms']:.0f} ms: {record['busy']:.0%} busy,",
        end="",
    )
    print(f" {record['chunks_per_s']:.0f} chunks/s, {record['cpu_us_per_chunk']:.0f} us of CPU for each")
    by_process = record["cpu_us_per_chunk_by_process"]
    print("  " + ", ".join(f"{name} {used:.0f}" for name, used in by_process.items() if used >= 1))
    print("added to each chunk, ms:  slice    chunks     p50     p90     p99     max", end="")
    print("  gap ms    busy  CPU us  benchmark's")
    for number, one in enumerate(record["slices"], 1):
        figures = "".join(f"{one[name]:8.1f}" for name in ("p50_ms", "p90_ms", "p99_ms", "most_ms"))
        costs = f"{one['gap_ms']:8.0f}{one['busy']:8.0%}{one['cpu_us_per_chunk']:8.0f}"
        costs += f"{one['benchmark_us_per_chunk']:13.0f}"
        print(f"{number:>31}{one['chunks']:>10,}{figures}{costs}")
