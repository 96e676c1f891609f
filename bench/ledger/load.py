"""Reserve + settle pairs, over and over, by a number of callers; the same loop for the core and for gRPC."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

PROMPT_TOKENS = 800
MAX_OUTPUT_TOKENS = 400
COMPLETION_TOKENS = 150


class Target(Protocol):
    """Something that reserves and settles. `number`: the key that pays."""

    async def reserve(self, request_id: str, number: int) -> None: ...

    async def settle(self, request_id: str, number: int) -> None: ...


@dataclass(slots=True)
class Measured:
    """What a number of callers saw, in seconds."""

    pairs: int = 0
    duration_s: float = 0.0
    reserve_s: list[float] = field(default_factory=list)
    settle_s: list[float] = field(default_factory=list)


async def run(
    target: Target,
    callers: int,
    seconds: float,
    keys: int,
    cpu_s: Callable[[], float] = time.process_time,
) -> tuple[Measured, float]:
    """Pairs as fast as they go, each caller one at a time; what was measured and the CPU it took here."""
    measured = Measured()
    began_cpu_s, began_s = cpu_s(), time.perf_counter()
    end_s = began_s + seconds

    async def caller(number: int) -> None:
        while time.perf_counter() < end_s:
            request_id = str(uuid.uuid4())
            await _timed(target.reserve, request_id, number % keys, measured.reserve_s)
            await _timed(target.settle, request_id, number % keys, measured.settle_s)
            measured.pairs += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    measured.duration_s = time.perf_counter() - began_s
    return measured, cpu_s() - began_cpu_s


async def _timed(
    work: Callable[[str, int], Awaitable[None]], request_id: str, number: int, into: list[float]
) -> None:
    began_s = time.perf_counter()
    await work(request_id, number)
    into.append(time.perf_counter() - began_s)
