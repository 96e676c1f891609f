"""Answers on their way to the cache: what waits while one store is under way goes out together.

Invariants: a store never waits for others to come, only for the one before it; at most one is under way; what
waits is bounded by number and bytes, and what does not fit is not stored.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
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
LOST_REASONS: Final = frozenset({"CONNECTION_LOST", "SERVICE_UNREACHABLE"})


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: pb.StoreEntryRequest
    size_bytes: int
    done: Callable[[bool], None]


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

    def add(self, request: pb.StoreEntryRequest, done: Callable[[bool], None] = lambda _: None) -> None:
        """Starts storing. `done` is told once whether the cache has the answer, unless this raises
        RESOURCE_EXHAUSTED/TASK_LIMIT: too much waits."""
        size_bytes = request.ByteSize()
        if len(self._waiting) >= self._waiting_max or self._waiting_bytes + size_bytes > WAITING_BYTES_MAX:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "TASK_LIMIT", "too many answers wait to be stored")
        if not self._running:
            self._tasks.start(self._run(), "store")
            self._running = True
        self._waiting.append(_Waiting(request, size_bytes, done))
        self._waiting_bytes += size_bytes

    async def _run(self) -> None:
        """Sends until nothing waits."""
        try:
            while self._waiting:
                batch = self._batch()
                stored = await self._send([each.request for each in batch])
                for each, is_stored in zip(batch, stored, strict=True):
                    each.done(is_stored)
        finally:
            self._running = False

    def _batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(batch) < BATCH_MAX:
            size_bytes += self._waiting[0].size_bytes
            if batch and size_bytes > BATCH_BYTES_MAX:
                break
            taken = self._waiting.popleft()
            self._waiting_bytes -= taken.size_bytes
            batch.append(taken)
        return batch

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
