"""Asking the cache: one by one while it is quiet, together when it is not.

Nothing waits for company: a lookup that finds fewer than RPCS_FREE of them under way leaves at once, alone.
The others leave together when one returns. What is late is a miss to its call, and harms no other: a batch
has a deadline of its own, and belongs to none of its calls. What comes too late is told to `unwanted`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span

from meshgate_chassis.deadline import detached_scope, outgoing_timeout_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_chassis.telemetry import shared_context
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient

RPCS_FREE: Final = 2
LOOKUPS_MAX: Final = 16  # of one RPC; the contract allows 64
WAITING_MAX: Final = 1_000


Unwanted = Callable[[pb.LookupEntryRequest, pb.LookupEntryResponse], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    lookup: pb.LookupEntryRequest
    future: "asyncio.Future[pb.LookupEntryResponse]"
    span: Span  # of its call


class Lookups:
    """See the module. `tasks` owns the batches."""

    def __init__(
        self, cache: CacheServiceClient, tasks: TaskOwner, timeout_s: float, unwanted: Unwanted
    ) -> None:
        self._cache = cache
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._unwanted = unwanted
        self._queue: deque[_Waiting] = deque()
        self._under_way = 0  # RPCs

    async def look_up(self, lookup: pb.LookupEntryRequest) -> pb.LookupEntryResponse:
        """The cache's answer. Raises as LookupEntry, and RESOURCE_EXHAUSTED/QUEUE_FULL."""
        if self._under_way >= RPCS_FREE:
            return await self._together(lookup)
        self._under_way += 1
        try:
            return await self._cache.lookup_entry(lookup, timeout_s=self._timeout_s)
        finally:
            self._returned()

    async def _together(self, lookup: pb.LookupEntryRequest) -> pb.LookupEntryResponse:
        if len(self._queue) >= WAITING_MAX:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many calls wait for the cache")
        waiting = _Waiting(lookup, asyncio.get_running_loop().create_future(), trace.get_current_span())
        self._queue.append(waiting)
        try:
            async with asyncio.timeout(outgoing_timeout_s(self._timeout_s)):
                return await waiting.future
        except TimeoutError:
            late = MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "the cache is late")
            raise late from None

    def _returned(self) -> None:
        self._under_way -= 1
        while self._queue and self._under_way < RPCS_FREE:
            self._send_next()

    def _send_next(self) -> None:
        batch: list[_Waiting] = []
        while self._queue and len(batch) < LOOKUPS_MAX:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        if not batch:
            return
        try:
            shared_context(each.span for each in batch).run(self._tasks.start, self._send(batch), "lookups")
        except MeshError as error:
            _fail(batch, error)
        else:
            self._under_way += 1

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        request = pb.LookupEntriesRequest(lookups=[each.lookup for each in batch])
        try:
            with detached_scope(self._timeout_s):
                answer = await self._cache.lookup_entries(request, timeout_s=self._timeout_s)
            self._tell(batch, answer.results)
        except MeshError as error:
            _fail(batch, error)
        finally:
            _fail(batch, MeshError(Code.INTERNAL, "RESULTS_MISSING", "the cache did not answer all"))
            self._returned()

    def _tell(self, batch: Sequence[_Waiting], results: Sequence[pb.LookupEntryResult]) -> None:
        for waiting, result in zip(batch, results, strict=False):
            found = result.HasField("response")
            if waiting.future.done():
                if found:
                    self._unwanted(waiting.lookup, result.response)
            elif found:
                waiting.future.set_result(result.response)
            else:
                error = result.error
                waiting.future.set_exception(MeshError(Code(error.code), error.reason, error.message))


def _fail(batch: Sequence[_Waiting], error: MeshError) -> None:
    """Whoever was not told anything else."""
    for waiting in batch:
        if not waiting.future.done():
            # Each gets its own: a raised error carries the traceback of whoever raised it.
            waiting.future.set_exception(replace(error))
