"""Loads one target. Closed loop: C connections, each asks again when it has its answer. Open loop: requests
leave on a schedule, whatever the target does, and a latency counts from the scheduled moment, so that a slow
target cannot hide what it kept waiting (no coordinated omission).

Every answer is checked: status 200, and whole. Nothing is retried; a failure is counted and told.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic_ns

from bench.connection import Connection, Response, ResponseError
from bench.timer import Timer

CONNECTIONS_MAX = 1_024  # of an open loop: beyond that, arrivals wait, and their latency says so
ANSWER_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Sample:
    """What was seen. Times in nanoseconds; lists in order of completion."""

    seconds: float = 0.0
    latencies_ns: list[int] = field(default_factory=list)
    first_tokens_ns: list[int] = field(default_factory=list)  # from the request to the first content
    chunk_delays_ns: list[int] = field(default_factory=list)  # from the provider's send to our read
    lateness_ns: list[int] = field(default_factory=list)  # of our own departures, open loop only
    cache_hits: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return len(self.latencies_ns)

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds if self.seconds else 0.0

    def add(self, response: Response, since_ns: int) -> None:
        self.latencies_ns.append(response.ended_ns - since_ns)
        self.cache_hits += response.cache_hit
        if response.first_token_ns:
            self.first_tokens_ns.append(response.first_token_ns - since_ns)
            self.chunk_delays_ns += response.chunk_delays_ns


@dataclass(frozen=True, slots=True)
class Load:
    """`requests`: taken in order by all connections. `chunks`: of content in each answer; 0: no streams."""

    port: int
    requests: Iterator[bytes]
    chunks: int = 0


async def closed_loop(load: Load, connections: int, seconds: float, count_max: int = 10**9) -> Sample:
    """Saturates with `connections` clients, for `seconds` or `count_max` requests, what ends first."""
    sample = Sample()
    opened = [await _open(load) for _ in range(connections)]

    async def client(connection: Connection, ends_ns: int) -> None:
        nonlocal count_max
        while monotonic_ns() < ends_ns and count_max > 0:
            count_max -= 1
            if not connection.is_open:
                connection = await _open(load)
            asked_ns = monotonic_ns()
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    response = await connection.ask(next(load.requests))
            except (ResponseError, TimeoutError) as error:
                sample.failures[_told(error)] += 1
                connection.close()
                connection = await _open(load)
                continue
            sample.add(response, asked_ns)
        connection.close()

    with _no_collector():
        began_ns = monotonic_ns()
        ends_ns = began_ns + int(seconds * 1e9)
        await asyncio.gather(*(client(connection, ends_ns) for connection in opened))
    sample.seconds = (monotonic_ns() - began_ns) / 1e9
    return sample


async def open_loop(load: Load, per_second: float, seconds: float, *, connections: int = 8) -> Sample:
    """One request every 1/`per_second`; `connections` are open before the first."""
    due_ns = (int(number * 1e9 / per_second) for number in range(int(per_second * seconds)))
    return await scheduled(load, due_ns, connections=connections)


async def scheduled(
    load: Load, offsets_ns: Iterable[int], *, began_ns: int = 0, connections: int = 8
) -> Sample:
    """An open loop: a request at each of `offsets_ns` after `began_ns`; 0: when the connections are open."""
    sample = Sample()
    idle = [await _open(load) for _ in range(connections)]
    permits = asyncio.Semaphore(CONNECTIONS_MAX)
    timer = Timer()

    async def one(request: bytes, due_ns: int) -> None:
        async with permits:
            connection = idle.pop() if idle else await _open(load)
            if not connection.is_open:  # a peer whose worker died, for example
                connection = await _open(load)
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    asked = connection.ask(request)
                    sample.lateness_ns.append(monotonic_ns() - due_ns)
                    response = await asked
            except (ResponseError, TimeoutError) as error:
                sample.failures[_told(error)] += 1
                connection.close()
                return
            sample.add(response, due_ns)
            idle.append(connection)

    with _no_collector():
        began_ns = began_ns or monotonic_ns() + 5_000_000
        async with asyncio.TaskGroup() as group:
            for offset_ns in offsets_ns:
                due_ns = began_ns + offset_ns
                await timer.wait_until(due_ns)
                group.create_task(one(next(load.requests), due_ns))
    sample.seconds = (monotonic_ns() - began_ns) / 1e9
    timer.close()
    for connection in idle:
        connection.close()
    return sample


async def _open(load: Load) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(load.chunks), "127.0.0.1", load.port)
    return connection


def _told(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)[:160]


@contextmanager
def _no_collector() -> Iterator[None]:
    """A collection in the generator would look like a pause of the target."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
