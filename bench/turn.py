"""One turn of one subject: every load once, its figures by name. Subjects take turns load by load.

Names say the unit. `*_cpu_us_<process>` is CPU of that process for one answer (or one chunk), PostgreSQL and
Redis included; the provider's and our own are not.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench import processes
from bench.load import Load, Sample, closed_loop, open_loop
from bench.machine import fixed_work_ms
from bench.prompts import Target, requests
from bench.statistics import percentile
from bench.subject import PACED, PLAIN, Subject

CLIENTS = 32
STREAM_CLIENTS = 8
PACED_PER_S = 8  # each takes half a second: four at a time
HIT_PER_S = 50
ROOM = 1.2  # a rate is asked only of a subject that can do so much more
SETTLE_S = 0.4  # what goes on after the last answer (stores, settlements) is over by then
IDLE_S = 1.0
HIT_WAIT_S = 40.0
SWEEP_BYTES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of each load."""

    warm_up: float
    saturation: float
    rate50: float
    rate200: float  # 0: not asked
    hit: float
    stream: float
    sweep: float  # each prompt size; 0: none


FULL = Durations(warm_up=1.5, saturation=6, rate50=8, rate200=8, hit=4, stream=4, sweep=1.5)
QUICK = Durations(warm_up=1, saturation=3, rate50=3, rate200=0, hit=2, stream=2, sweep=0)


@dataclass(slots=True)
class Turn:
    """`failures`: told, never hidden."""

    figures: dict[str, float] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    answered: int = 0

    def took(self, sample: Sample) -> None:
        self.answered += sample.answered
        self.failures += sample.failures

    def whole_stream(self, name: str, chunks: int) -> None:
        """What all chunks of one stream cost together."""
        each_us = self.figures.get(f"{name}_chunk_cpu_us")
        if each_us is not None:
            self.figures[f"{name}_cpu_ms"] = each_us * chunks / 1e3

    def percentiles_ms(self, name: str, values_ns: list[int]) -> None:
        for share in (50, 90, 99):
            self.figures[f"{name}_p{share}_ms"] = percentile(values_ns, share / 100) / 1e6


Take = Callable[[Subject, Turn], Awaitable[None]]


class TurnRunner:
    """Takes turns; remembers what prompts were used, so that no request is a cache hit by chance."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._numbers = itertools.count(0, 10_000_000)

    def loads(self, *, sweep: bool) -> list[Take]:
        """One after the other, each to be taken of all subjects before the next."""
        taken: list[Take] = [
            self._warm_up,
            self._idle,
            self._saturation,
            self._rates,
            self._hit,
            self._streams,
        ]
        return [*taken, self._sweep] if sweep and self._durations.sweep else taken

    async def _warm_up(self, subject: Subject, _: Turn) -> None:
        await closed_loop(self._load(subject.plain), CLIENTS // 4, self._durations.warm_up)
        await asyncio.sleep(SETTLE_S)

    async def _idle(self, subject: Subject, turn: Turn) -> None:
        """What it costs to be there: per cent of one core, of all its processes."""
        roots = subject.roots()
        before = sum(processes.cpu_s(roots).values())
        await asyncio.sleep(IDLE_S)
        turn.figures["idle_percent"] = (sum(processes.cpu_s(roots).values()) - before) / IDLE_S * 100

    async def _saturation(self, subject: Subject, turn: Turn) -> None:
        before_ms = fixed_work_ms()
        async with self._cpu(subject, turn, "saturation") as counted:
            sample = await closed_loop(self._load(subject.plain), CLIENTS, self._durations.saturation)
            counted.append(sample.answered)
        turn.took(sample)
        turn.figures["fixed_work_ms"] = (before_ms + fixed_work_ms()) / 2
        turn.figures["saturation_per_s"] = sample.per_second
        turn.percentiles_ms("saturation", sample.latencies_ns)

    async def _rates(self, subject: Subject, turn: Turn) -> None:
        for rate, seconds in ((50, self._durations.rate50), (200, self._durations.rate200)):
            has_room = turn.figures["saturation_per_s"] >= rate * ROOM
            if not seconds or f"rate{rate}" not in subject.loads or not has_room:
                continue
            async with self._cpu(subject, turn, f"rate{rate}") as counted:
                sample = await open_loop(self._load(subject.plain), rate, seconds)
                counted.append(sample.answered)
            turn.took(sample)
            turn.percentiles_ms(f"rate{rate}", sample.latencies_ns)
            turn.percentiles_ms(f"rate{rate}_generator_late", sample.lateness_ns)

    async def _hit(self, subject: Subject, turn: Turn) -> None:
        if not subject.has_cache or "hit" not in subject.loads:
            return
        same = requests(subject.plain, first=next(self._numbers), same=True)
        load = Load(subject.plain.port, same)
        ends_s = (
            time.monotonic() + HIT_WAIT_S
        )  # the first is a miss; more, when the cache is left out for a while
        while time.monotonic() < ends_s:
            if (await closed_loop(load, 1, seconds=5, count_max=1)).cache_hits:
                break
            await asyncio.sleep(SETTLE_S)
        async with self._cpu(subject, turn, "hit") as counted:
            sample = await open_loop(load, HIT_PER_S, self._durations.hit)
            counted.append(sample.answered)
        turn.took(sample)
        turn.figures["hit_share"] = sample.cache_hits / max(1, sample.answered)
        turn.percentiles_ms("hit", sample.latencies_ns)

    async def _streams(self, subject: Subject, turn: Turn) -> None:
        """As fast as the provider sends, from clients that wait for nothing: chunks share their way. Then
        paced, as a model writes them: each chunk comes alone.

        Paced streams begin on a schedule: clients that began together would stay together. What a stream
        costs besides its chunks (reserve, look up, settle) is in the CPU of its chunks.
        """
        if "streams" not in subject.loads:
            return
        load = self._load(subject.plain, stream=True, chunks=PLAIN.chunks)
        async with self._cpu(subject, turn, "stream_chunk") as counted:
            sample = await closed_loop(load, STREAM_CLIENTS, self._durations.stream)
            counted.append(sample.answered * PLAIN.chunks)
        turn.took(sample)
        turn.whole_stream("stream", PLAIN.chunks)
        turn.figures["stream_per_s"] = sample.per_second
        turn.percentiles_ms("stream_first_token", sample.first_tokens_ns)

        load = self._load(subject.paced, stream=True, chunks=PACED.chunks)
        async with self._cpu(subject, turn, "paced_chunk") as counted:
            sample = await open_loop(load, PACED_PER_S, self._durations.stream)
            counted.append(sample.answered * PACED.chunks)
        turn.took(sample)
        turn.whole_stream("paced", PACED.chunks)
        turn.percentiles_ms("paced_first_token", sample.first_tokens_ns)
        turn.percentiles_ms("paced_chunk_delay", sample.chunk_delays_ns)

    async def _sweep(self, subject: Subject, turn: Turn) -> None:
        if "sweep" not in subject.loads:
            return
        for size in SWEEP_BYTES:
            load = self._load(subject.plain, prompt_bytes=size)
            async with self._cpu(subject, turn, f"prompt{size}") as counted:
                sample = await closed_loop(load, 4, self._durations.sweep)
                counted.append(sample.answered)
            turn.took(sample)
            turn.figures[f"prompt{size}_per_s"] = sample.per_second
            turn.percentiles_ms(f"prompt{size}", sample.latencies_ns)

    def _load(
        self, target: Target, *, stream: bool = False, chunks: int = 0, prompt_bytes: int = 1_000
    ) -> Load:
        first = next(self._numbers)
        made: Iterator[bytes] = requests(target, stream=stream, first=first, prompt_bytes=prompt_bytes)
        return Load(target.port, made, chunks)

    @asynccontextmanager
    async def _cpu(self, subject: Subject, turn: Turn, name: str) -> AsyncIterator[list[int]]:
        """The block appends what to divide by."""
        counted: list[int] = []
        roots = subject.roots()
        lookups = subject.lookups() if subject.lookups else 0
        switches, before = processes.switches(roots), processes.cpu_s(roots)
        yield counted
        await asyncio.sleep(SETTLE_S)
        after = processes.cpu_s(roots)
        if not counted or not counted[0]:
            return
        for process, used_s in after.items():
            turn.figures[f"{name}_cpu_us_{process}"] = (used_s - before[process]) / counted[0] * 1e6
        if subject.lookups:
            turn.figures[f"{name}_lookups"] = (subject.lookups() - lookups) / counted[0]
        turn.figures[f"{name}_switches"] = (processes.switches(roots) - switches) / counted[0]
        turn.figures[f"{name}_cpu_us"] = (sum(after.values()) - sum(before.values())) / counted[0] * 1e6
