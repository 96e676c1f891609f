"""Group commit: what waits while one transaction runs goes into the next one, together.

Invariants
- Nothing waits for company: an item that finds the worker idle is on its way at once.
- At most `batches_max` batches run at a time, of at most `items_max` items, in the order they came.
- An item whose caller went away before its batch began is dropped; after that it completes without it.
- A batch that is refused because of what is in it is halved until the culprit is alone.
- A batch that fails in a way nobody foresaw fails its items; the next one starts afresh.
"""

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_ledger.errors import too_slow

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """`queue_items_max` wait at most; more are refused with RESOURCE_EXHAUSTED/QUEUE_FULL."""

    items_max: int = 256
    queue_items_max: int = 4_096
    batches_max: int = 1
    retry_after_s: float = 0.1  # what the refused are told


class BatchRefusedError(Exception):
    """Nothing was done, because of at least one item. `cause` is what its caller is told."""

    def __init__(self, cause: MeshError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]"


class GroupCommit(Generic[Item, Result]):
    """Runs items in batches. `run(items)` returns one result for each item, in their order, or raises
    MeshError for all of them, or BatchRefusedError. It may be run again with the same items, and bounds its
    own time: callers wait only as long as they like, a batch is not cut short because one is in a hurry."""

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        limits: GroupLimits,
    ) -> None:
        self._name = name
        self._run = run
        self._limits = limits
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._workers = TaskOwner(f"ledger-{name}", count_max=limits.batches_max)

    async def submit(self, item: Item, timeout_s: float) -> Result:
        """The item's result. Raises what `run` raises, RESOURCE_EXHAUSTED/QUEUE_FULL, and
        DEADLINE_EXCEEDED/LEDGER_TOO_SLOW after `timeout_s`."""
        if len(self._queue) >= self._limits.queue_items_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
                f"too many {self._name} requests are waiting for the ledger",
                retry_after_s=self._limits.retry_after_s,
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.append(_Waiting(item, future))
        self._start_worker()
        # asyncio.timeout costs twice as much, and this is the hottest line of the ledger.
        timer = loop.call_later(timeout_s, _give_up, future) if timeout_s < math.inf else None
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    async def drain(self, grace_s: float) -> None:
        """Waits for everything that was submitted, then ends."""
        await self._workers.drain(grace_s)

    def _start_worker(self) -> None:
        if self._workers.count < self._limits.batches_max:
            # A context of its own: a batch belongs to none of its callers, nor to their trace or deadline.
            task = contextvars.Context().run(self._workers.start, self._work(), "worker")
            task.add_done_callback(self._worker_ended)

    def _worker_ended(self, task: "asyncio.Task[None]") -> None:
        if self._queue and not task.cancelled():
            self._start_worker()

    async def _work(self) -> None:
        while self._queue:
            batch = self._take()
            if batch:
                await self._run_batch(batch)

    def _take(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        while self._queue and len(batch) < self._limits.items_max:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        return batch

    async def _run_batch(self, batch: list[_Waiting[Item, Result]]) -> None:
        try:
            results = await self._run([waiting.item for waiting in batch])
            assert len(results) == len(batch), "one result for each item"
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(result)
        except MeshError as error:
            _fail(batch, error)
        except BatchRefusedError as refused:
            if len(batch) == 1:
                _fail(batch, refused.cause)
            else:
                middle = len(batch) // 2
                await self._run_batch(batch[:middle])
                await self._run_batch(batch[middle:])
        finally:
            _fail(batch, MeshError(Code.INTERNAL, "BATCH_FAILED", "the ledger failed"))


def _give_up(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(too_slow())


def _fail(batch: Sequence[_Waiting[Item, Result]], error: MeshError) -> None:
    for waiting in batch:
        if not waiting.future.done():
            # Each gets its own: a raised error carries the traceback of whoever raised it.
            waiting.future.set_exception(
                MeshError(error.code, error.reason, error.message, retry_after_s=error.retry_after_s)
            )
