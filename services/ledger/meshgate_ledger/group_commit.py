"""Group commit: what waits while one transaction runs goes into the next one, together.

Invariants
- Nothing waits for company: an item that finds the worker idle is on its way at once.
- Many that find nothing at all under way go in two halves: see Traffic.
- At most `batches_max` batches run at a time, of at most `items_max` items, in the order they came.
- An item whose caller went away before its batch began is dropped; after that it completes without it.
- An item whose time is over is given up within `DEADLINE_STEP_S`: one timer looks after all of them.
- A batch that is refused because of what is in it is halved until the culprit is alone.
- A batch that fails in a way nobody foresaw fails its items; the next one starts afresh.
"""

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

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


@dataclass(slots=True)
class Traffic:
    """The batches under way, of all groups that share a database.

    Callers that were answered together come back together. If all of them are in one batch, this process
    waits while PostgreSQL works, and PostgreSQL while this process does. In two halves they take turns, and
    once they do they stay apart.
    """

    batches: int = 0


class BatchRefusedError(Exception):
    """Nothing was done, because of at least one item. `cause` is what its caller is told."""

    def __init__(self, cause: MeshError) -> None:
        super().__init__(str(cause))
        self.cause = cause


DEADLINE_STEP_S = 0.02
HALF_MIN = 24  # fewer items are not worth a batch of their own


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]"
    end_s: float


class GroupCommit(Generic[Item, Result]):
    """Runs items in batches. `run(items)` returns one result for each item, in their order, or raises
    MeshError for all of them, or BatchRefusedError. It may be run again with the same items, and bounds its
    own time: callers wait only as long as they like, a batch is not cut short because one is in a hurry."""

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        limits: GroupLimits,
        traffic: Traffic | None = None,
    ) -> None:
        self._name = name
        self._run = run
        self._limits = limits
        self._traffic = traffic or Traffic()
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._workers = TaskOwner(f"ledger-{name}", count_max=limits.batches_max)
        self._under_way: dict[int, list[_Waiting[Item, Result]]] = {}  # by id
        self._starting = False  # a worker that has not looked at the queue yet
        self._timer: asyncio.TimerHandle | None = None
        self._first_end_s = math.inf  # nobody's time is over before

    async def submit(self, item: Item, timeout_s: float) -> Result:
        """The item's result. Raises what `run` raises, RESOURCE_EXHAUSTED/QUEUE_FULL, and
        DEADLINE_EXCEEDED/LEDGER_TOO_SLOW after `timeout_s`."""
        return await self.begin(item, timeout_s)

    def begin(self, item: Item, timeout_s: float) -> "asyncio.Future[Result]":
        """The same for who waits for several. Whoever goes away cancels the future."""
        if len(self._queue) >= self._limits.queue_items_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
                f"too many {self._name} requests are waiting for the ledger",
                retry_after_s=self._limits.retry_after_s,
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        end_s = loop.time() + timeout_s
        if end_s < self._first_end_s:
            self._first_end_s = end_s
        self._queue.append(_Waiting(item, future, end_s))
        if not self._starting:
            self._start_worker()
        if self._timer is None:
            self._timer = loop.call_later(min(timeout_s, DEADLINE_STEP_S), self._give_up_late)
        return future

    async def drain(self, grace_s: float) -> None:
        """Waits for everything that was submitted, then ends."""
        await self._workers.drain(grace_s)

    def _start_worker(self) -> None:
        if self._workers.count < self._limits.batches_max:
            self._starting = True
            # A context of its own: a batch belongs to none of its callers, nor to their trace or deadline.
            task = contextvars.Context().run(self._workers.start, self._work(), "worker")
            task.add_done_callback(self._worker_ended)

    def _worker_ended(self, task: "asyncio.Task[None]") -> None:
        if self._queue and not task.cancelled():
            self._start_worker()

    async def _work(self) -> None:
        self._starting = False
        while self._queue:
            batch = self._take()
            if self._queue:
                self._start_worker()
            if batch:
                self._under_way[id(batch)] = batch
                self._traffic.batches += 1
                try:
                    await self._run_batch(batch)
                finally:
                    self._traffic.batches -= 1
                    del self._under_way[id(batch)]

    def _take(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        count = min(len(self._queue), self._limits.items_max)
        if not self._traffic.batches and count >= 2 * HALF_MIN:
            count = (count + 1) // 2
        while self._queue and len(batch) < count:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        return batch

    def _give_up_late(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._first_end_s <= now_s:
            self._first_end_s = math.inf
            for batch in (self._queue, *self._under_way.values()):
                for waiting in batch:
                    if waiting.future.done():
                        continue
                    if waiting.end_s <= now_s:
                        waiting.future.set_exception(too_slow())
                    elif waiting.end_s < self._first_end_s:
                        self._first_end_s = waiting.end_s
        busy = self._queue or self._under_way
        self._timer = loop.call_later(DEADLINE_STEP_S, self._give_up_late) if busy else None

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


def _fail(batch: Sequence[_Waiting[Item, Result]], error: MeshError) -> None:
    for waiting in batch:
        if not waiting.future.done():
            # Each gets its own: a raised error carries the traceback of whoever raised it.
            waiting.future.set_exception(replace(error))
