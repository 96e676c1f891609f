"""Answers on their way to the cache: with the next lookup, or together on their own.

Each RPC costs more than what it carries, so a store waits COMPANY_S at most for a lookup to take it along;
the cache keeps it before it looks, so nobody misses what this edge has just answered. What no lookup took
goes out together.

Invariants: at most one batch is under way; what waits is bounded by number and bytes, and what does not fit
is not stored; a store that a lookup lost goes out once more, on its own.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import structlog

from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient

log = structlog.get_logger("meshgate.edge.cache")

BATCH_MAX: Final = 64  # stores of one call
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024  # of one call, unless a single one is larger
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
ATTEMPTS_MAX: Final = 2  # a replica of the cache that is lost costs one; a repeat is harmless
COMPANY_S: Final = 0.03
CARRIED_MAX: Final = 16  # of one lookup; the contract allows 64
CARRIED_BYTES_MAX: Final = 64 * 1024  # a lookup has little time
LOST_REASONS: Final = frozenset({"CONNECTION_LOST", "SERVICE_UNREACHABLE"})


@dataclass(frozen=True, slots=True)
class _Waiting:
    """`alone`: no lookup may take it along."""

    request: pb.StoreEntryRequest
    size_bytes: int
    done: Callable[[bool], None]
    alone: bool = False


@dataclass(slots=True)
class Carried:
    """What a lookup takes along. `results`: what the cache said of each; None: the lookup was lost."""

    requests: Sequence[pb.StoreEntryRequest]
    results: Sequence[pb.StoreEntryResponse] | None = None


class StoreBatch:
    """See the module. `tasks` owns the one task that sends."""

    def __init__(
        self, cache: CacheServiceClient, tasks: TaskOwner, *, timeout_s: float, waiting_max: int
    ) -> None:
        self._cache = cache
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._waiting_max = waiting_max
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._running = False
        self._hurried = asyncio.Event()

    def add(self, request: pb.StoreEntryRequest, done: Callable[[bool], None] = lambda _: None) -> None:
        """Starts storing. `done` is told once whether the cache has the answer, unless this raises
        RESOURCE_EXHAUSTED/TASK_LIMIT: too much waits."""
        size_bytes = request.ByteSize()
        if len(self._waiting) >= self._waiting_max or self._waiting_bytes + size_bytes > WAITING_BYTES_MAX:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "TASK_LIMIT", "too many answers wait to be stored")
        self._start()
        # The cache needs time to learn a question by its meaning: no lookup waits for that.
        alone = request.HasField("question") or size_bytes > CARRIED_BYTES_MAX
        self._waiting.append(_Waiting(request, size_bytes, done, alone))
        self._waiting_bytes += size_bytes

    def hurry(self) -> None:
        """Somebody waits: what is here goes out now."""
        self._hurried.set()

    @contextmanager
    def carried(self) -> Iterator[Carried]:
        """For the block of a lookup: what it takes along, and what came of it."""
        taken = self._taken(CARRIED_MAX, CARRIED_BYTES_MAX, alone=False)
        carried = Carried([each.request for each in taken])
        try:
            yield carried
        finally:
            if taken:
                self._told(taken, carried.results)

    def _told(self, taken: Sequence[_Waiting], results: Sequence[pb.StoreEntryResponse] | None) -> None:
        if results is not None and len(results) == len(taken):
            for each, result in zip(taken, results, strict=True):
                each.done(result.stored)
            return
        self._waiting.extendleft(replace(each, alone=True) for each in reversed(taken))
        self._waiting_bytes += sum(each.size_bytes for each in taken)
        try:
            self._start()
        except MeshError as error:  # the next store starts it
            log.info("answers wait to be stored", count=len(taken), error=error.reason)

    def _start(self) -> None:
        if not self._running:
            self._tasks.start(self._run(), "store")
            self._running = True

    async def _run(self) -> None:
        """Sends until nothing waits."""
        try:
            while self._waiting:
                await self._company()
                batch = self._taken(BATCH_MAX, BATCH_BYTES_MAX)
                if batch:
                    await self._send_all(batch)
        finally:
            self._running = False

    async def _send_all(self, batch: Sequence[_Waiting]) -> None:
        """Whatever happens, all of them are told: calls may wait for it."""
        stored = [False] * len(batch)
        try:
            stored = await self._send([each.request for each in batch])
        finally:
            for each, is_stored in zip(batch, stored, strict=True):
                each.done(is_stored)

    async def _company(self) -> None:
        """Gives lookups the time to take along what may go with them."""
        if len(self._waiting) >= BATCH_MAX or all(each.alone for each in self._waiting):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMPANY_S):
                await self._hurried.wait()
        self._hurried.clear()

    def _taken(self, count_max: int, bytes_max: int, *, alone: bool = True) -> list[_Waiting]:
        """The first of them, as many as fit, at least one. `alone`: also those that may not go along."""
        taken: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(taken) < count_max:
            first = self._waiting[0]
            size_bytes += first.size_bytes
            if (taken and size_bytes > bytes_max) or (first.alone and not alone):
                break
            self._waiting_bytes -= first.size_bytes
            taken.append(self._waiting.popleft())
        return taken

    async def _send(self, batch: list[pb.StoreEntryRequest]) -> list[bool]:
        """Which of them the cache has now."""
        request = pb.StoreEntriesRequest(stores=batch)
        for left in reversed(range(ATTEMPTS_MAX)):
            try:
                with detached_scope(self._timeout_s):
                    answer = await self._cache.store_entries(request)
            except MeshError as error:
                if left and error.reason in LOST_REASONS:
                    continue
                log.info("answers not stored", count=len(batch), error=error.reason)
                break
            if len(answer.results) == len(batch):
                return [result.stored for result in answer.results]
        return [False] * len(batch)
