"""Posting what calls cost: at least once, many in one RPC, behind the answer, never lost silently.

What waits while a batch is under way goes into the next one, together. What nobody waits for waits for
company, COMPANY_S at most; all else is on its way at once, and takes along what waits. The ledger makes
a repeat harmless (request_id), so a closing is repeated until it is done or its attempts are used up; then
the spool keeps it. Without one its hold expires at the ledger, which charges the estimate and flags it.
Invariant: a closing outlives the request it is for, and is awaited at drain.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

log = structlog.get_logger("meshgate.edge.settlement")

ATTEMPTS_MAX = 8
ATTEMPTS_BEFORE_SPOOL = 3  # what is on disk cannot die with this process
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
COMPANY_S = 0.05
RETRIED = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.INTERNAL})


class ClosingSpool(Protocol):
    """Keeps closings that could not be posted, until they can."""

    async def keep(self, items: Sequence[pb.CloseSpend]) -> None:
        """Returns when they are safe. Raises MeshError."""

    def intended(self, request_id: str) -> bool:
        """Whether this call went on without the ledger: its closing is kept at once."""


@dataclass(frozen=True, slots=True)
class SettlementLimits:
    """`timeout_s`: of one batch. `open_max`: closings that are not done yet, those under way included."""

    timeout_s: float = 5.0
    open_max: int = 20_000
    items_max: int = 128  # in a batch; the contract allows 256
    batches_max: int = 2  # under way at a time


@dataclass(slots=True, eq=False)
class Closing:
    """A settlement or a release on its way. `posting`: of a settlement that is done; None also for a release
    and for what was given up. `done`: it is over, either way. `told_nanos`: what the client was told it cost,
    when it did not wait."""

    item: pb.CloseSpend
    request_id: str
    done: asyncio.Event = field(default_factory=asyncio.Event)
    posting: pb.SettleSpendResponse | None = None
    attempts: int = 0
    told_nanos: int | None = None


class Settlement:
    """Settles and releases holds."""

    def __init__(
        self,
        ledger: LedgerServiceClient,
        clock: Clock,
        limits: SettlementLimits,
        spool: ClosingSpool | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._limits = limits
        self._spool = spool
        self._attempts_max = ATTEMPTS_MAX if spool is None else ATTEMPTS_BEFORE_SPOOL
        self._queue: deque[Closing] = deque()
        self._company: deque[Closing] = deque()  # nobody waits for these
        self._gathering = False  # somebody will send them on
        self._open: set[Closing] = set()
        self._all_done = asyncio.Event()
        self._starting = False  # a worker that has not taken its batch yet takes this one, too
        self._workers = TaskOwner("settlement", limits.batches_max)
        self._chores = TaskOwner("settlement-chores", limits.open_max)  # what workers do not wait for

    def settle(self, request: pb.SettleSpendRequest, *, told_nanos: int | None = None) -> Closing:
        """Starts posting. `told_nanos`: the client has its answer, and was told this cost. Raises
        RESOURCE_EXHAUSTED/QUEUE_FULL."""
        return self._start(Closing(pb.CloseSpend(settle=request), request.request_id, told_nanos=told_nanos))

    def void(self, request_id: str, reason: str) -> Closing:
        """Starts releasing a hold for which no provider was called. Raises RESOURCE_EXHAUSTED/QUEUE_FULL."""
        void = pb.VoidSpendRequest(request_id=request_id, reason=reason[:64])
        return self._start(Closing(pb.CloseSpend(void=void), request_id))

    async def posted(self, closing: Closing, wait_s: float) -> pb.SettleSpendResponse | None:
        """The posting when it is done within `wait_s`, else None: the answer does not wait for ever."""
        try:
            async with asyncio.timeout(wait_s):
                await closing.done.wait()
        except TimeoutError:
            return None
        return closing.posting

    async def caught_up(self, wait_s: float) -> None:
        """Waits, for a limited time, for what was answered before it was closed: who asks what was spent is
        told of it. What has failed once is not waited for."""
        waiting = [each for each in self._open if each.attempts == 0]
        if not waiting:
            return
        self._send_company()
        try:
            async with asyncio.timeout(wait_s):
                for closing in waiting:
                    await closing.done.wait()
        except TimeoutError:
            log.warning("settlements are late", count=len(waiting))

    async def drain(self, grace_s: float) -> int:
        """Waits up to `grace_s` for all closings; hands the rest to the spool; returns their number."""
        self._send_company()
        if self._open:
            self._all_done.clear()
            try:
                async with asyncio.timeout(grace_s):
                    await self._all_done.wait()
            except TimeoutError:
                log.warning("settlements are late", count=len(self._open))
        await self._workers.drain(0.0)
        await self._chores.drain(0.0)
        left = list(self._open)
        if left:
            await self._give_up(left, "DRAINED")
        return len(left)

    def _start(self, closing: Closing) -> Closing:
        if len(self._open) >= self._limits.open_max:
            message = f"{self._limits.open_max} settlements are under way"
            raise MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", message)
        self._open.add(closing)
        if self._spool is not None and self._spool.intended(closing.request_id):
            self._chores.start(self._give_up([closing], "OFFLINE"), "spool")
        elif closing.told_nanos is not None:
            self._company.append(closing)
            if len(self._company) >= self._limits.items_max:
                self._send_company()
            elif not self._gathering:
                self._gathering = True
                contextvars.Context().run(self._chores.start, self._gather(), "company")
        else:
            self._queue.append(closing)
            self._wake()
        return closing

    async def _gather(self) -> None:
        try:
            await self._clock.sleep(COMPANY_S)
        finally:
            self._gathering = False
        self._send_company()

    def _send_company(self) -> None:
        self._queue.extend(self._company)
        self._company.clear()
        self._wake()

    def _wake(self) -> None:
        if self._starting or not self._queue or self._workers.count >= self._limits.batches_max:
            return
        self._starting = True
        # A context of its own: a batch belongs to none of its calls, nor to their trace or deadline.
        task = contextvars.Context().run(self._workers.start, self._work(), "worker")
        task.add_done_callback(self._worker_ended)

    def _worker_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            self._wake()

    async def _work(self) -> None:
        self._starting = False
        while self._queue:
            await self._send(self._take())

    def _take(self) -> list[Closing]:
        """The next batch: of different requests, as the contract wants it."""
        batch: dict[str, Closing] = {}
        for queue in (self._queue, self._company):
            while queue and len(batch) < self._limits.items_max:
                if queue[0].request_id in batch:
                    break
                closing = queue.popleft()
                batch[closing.request_id] = closing
        return list(batch.values())

    async def _send(self, batch: Sequence[Closing]) -> None:
        request = pb.CloseSpendsRequest(items=[closing.item for closing in batch])
        try:
            with detached_scope(self._limits.timeout_s):
                answer = await self._ledger.close_spends(request, timeout_s=self._limits.timeout_s)
            results: Sequence[pb.CloseSpendResult] = answer.results
        except MeshError as error:
            if error.code not in RETRIED and len(batch) > 1:  # because of one of them: find out which
                await self._send(batch[: len(batch) // 2])
                await self._send(batch[len(batch) // 2 :])
                return
            failure = pb.CloseSpendError(code=error.code.value, reason=error.reason, message=error.message)
            results = [pb.CloseSpendResult(error=failure)] * len(batch)
        if len(results) != len(batch):
            failure = pb.CloseSpendError(code=Code.INTERNAL.value, reason="RESULTS_MISSING")
            results = [pb.CloseSpendResult(error=failure)] * len(batch)
        await self._sort(batch, results)

    async def _sort(self, batch: Sequence[Closing], results: Sequence[pb.CloseSpendResult]) -> None:
        again: list[Closing] = []
        failed: list[Closing] = []
        for closing, result in zip(batch, results, strict=True):
            closing.attempts += 1
            if result.WhichOneof("result") != "error":
                closing.posting = result.settled if result.HasField("settled") else None
                _compare(closing)
                self._finish(closing)
            elif result.error.reason == "HOLD_UNKNOWN":  # a reservation that never arrived: nothing to close
                log.info("nothing was held", request_id=closing.request_id)
                self._finish(closing)
            elif not _is_retried(result.error):
                self._refused(closing, result.error)
            elif closing.attempts >= self._attempts_max:
                self._refused(closing, result.error, given_up=True)
                failed.append(closing)
            else:
                again.append(closing)
        if again:
            self._chores.start(self._later(again), "pause")
        if failed:
            await self._give_up(failed, "ATTEMPTS_USED_UP")

    async def _later(self, closings: Sequence[Closing]) -> None:
        attempts = min(closing.attempts for closing in closings)
        await self._clock.sleep(min(BACKOFF_FIRST_S * 2 ** (attempts - 1), BACKOFF_MAX_S))
        self._queue.extend(closings)
        self._wake()

    def _refused(self, closing: Closing, error: pb.CloseSpendError, *, given_up: bool = False) -> None:
        log.error(
            "not settled",
            request_id=closing.request_id,
            reason=error.reason,
            error=error.message,
            attempts=closing.attempts,
        )
        if not given_up:
            self._finish(closing)

    async def _give_up(self, closings: Sequence[Closing], why: str) -> None:
        """To the spool; without one, or when it fails, their holds expire at the ledger, charged."""
        try:
            if self._spool is not None:
                await self._spool.keep([closing.item for closing in closings])
            else:
                log.error("settlements given up: their holds expire", count=len(closings), why=why)
        except MeshError as error:
            log.error("settlements not spooled", count=len(closings), why=why, error=error.reason)
        for closing in closings:
            self._finish(closing)

    def _finish(self, closing: Closing) -> None:
        self._open.discard(closing)
        closing.done.set()
        if not self._open:
            self._all_done.set()


def _compare(closing: Closing) -> None:
    """A price that changed within the call: the ledger is right, and the client was told otherwise."""
    posting, told = closing.posting, closing.told_nanos
    if posting is not None and told is not None and posting.charged_usd_nanos != told:
        charged = posting.charged_usd_nanos
        log.warning("charged other than told", request_id=closing.request_id, charged=charged, told=told)


def _is_retried(error: pb.CloseSpendError) -> bool:
    return error.code in {code.value for code in RETRIED}
