"""Asking the ledger whether calls may be made: one by one while it is quiet, together when it is not.

Nothing waits for company: a reservation that finds fewer than `rpcs_free` RPCs under way leaves at once,
alone, with its call's trace, deadline and cancellation. The others leave together when an RPC returns, and
after `wait_s_max` even if none does: a replica that hangs holds nobody up. Such a batch belongs to none of
its calls: each waits for it as long as its own deadline allows, and one that goes away leaves the others
alone. The ledger's span is in the trace of one of them; those of the others have a link to it.

What was sent and not answered may be held all the same: the caller releases it (accounts.py).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from opentelemetry import trace
from opentelemetry.trace import Span

from meshgate_chassis.deadline import outgoing_timeout_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_chassis.telemetry import shared_context
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient


@dataclass(frozen=True, slots=True)
class ReservationLimits:
    """`rpcs_max`: under way at once, with those that left because others did not return. `waiting_max`: more
    are refused with RESOURCE_EXHAUSTED/QUEUE_FULL."""

    rpcs_free: int = 1  # with two, every other RPC carries a single reservation
    rpcs_max: int = 32
    items_max: int = 128  # in one RPC; the contract allows 256
    waiting_max: int = 10_000
    wait_s_max: float = 0.01


@dataclass(slots=True, eq=False)
class _Waiting:
    """`sent`: it is, or was, in an RPC."""

    request: pb.ReserveSpendRequest
    future: "asyncio.Future[pb.ReserveSpendResponse]"
    since_s: float
    end_s: float
    span: Span  # of its call
    sent: bool = False


class Reservations:
    """See the module. Drain it when all calls are over."""

    def __init__(self, ledger: LedgerServiceClient, limits: ReservationLimits) -> None:
        self._ledger = ledger
        self._limits = limits
        self._queue: deque[_Waiting] = deque()
        self._under_way = 0  # RPCs
        # Twice: a batch has returned a moment before its task is over.
        self._batches = TaskOwner("reservations", 2 * limits.rpcs_max)
        self._timer: asyncio.TimerHandle | None = None

    async def reserve(self, request: pb.ReserveSpendRequest, timeout_s: float) -> pb.ReserveSpendResponse:
        """The ledger's decision. Raises what ReserveSpend raises; when it was never sent DEADLINE_TOO_CLOSE,
        QUEUE_FULL or SERVICE_UNREACHABLE."""
        if self._under_way >= self._limits.rpcs_free:
            return await self._together(request, outgoing_timeout_s(timeout_s))
        self._under_way += 1
        try:
            return await self._ledger.reserve_spend(request, timeout_s=timeout_s)
        finally:
            self._returned()

    async def drain(self, grace_s: float) -> None:
        """Waits for what is under way, then ends it."""
        await self._batches.drain(grace_s)

    async def _together(self, request: pb.ReserveSpendRequest, timeout_s: float) -> pb.ReserveSpendResponse:
        if len(self._queue) >= self._limits.waiting_max:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many calls wait for the ledger")
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        span = trace.get_current_span()
        waiting = _Waiting(request, loop.create_future(), now_s, now_s + timeout_s, span)
        self._queue.append(waiting)
        if self._timer is None:
            self._timer = loop.call_later(self._limits.wait_s_max, self._overdue)
        try:
            async with asyncio.timeout_at(waiting.end_s):
                return await waiting.future
        except TimeoutError:
            raise _too_late(waiting) from None

    def _returned(self) -> None:
        self._under_way -= 1
        while self._queue and self._under_way < self._limits.rpcs_free:
            self._send_next()

    def _overdue(self) -> None:
        """Nothing came back for a while: what has waited for too long does not wait for that."""
        self._timer = None
        loop = asyncio.get_running_loop()
        latest_s = loop.time() - self._limits.wait_s_max
        while self._queue and self._queue[0].since_s <= latest_s and self._under_way < self._limits.rpcs_max:
            self._send_next()
        if self._queue:
            self._timer = loop.call_later(self._limits.wait_s_max, self._overdue)

    def _send_next(self) -> None:
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._limits.items_max:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                waiting.sent = True
                batch.append(waiting)
        if batch:
            self._under_way += 1
            context = shared_context(waiting.span for waiting in batch)
            context.run(self._batches.start, self._send(batch), "batch")

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        try:
            if len(batch) == 1:
                results = [await self._decide(batch[0])]
            else:
                results = await self._decide_all(batch)
            for waiting, result in zip(batch, results, strict=True):
                _tell(waiting, result)
        finally:
            lost = MeshError(Code.UNAVAILABLE, "CONNECTION_LOST", "the ledger was not heard to the end")
            for waiting in batch:
                _tell(waiting, lost)
            self._returned()

    async def _decide_all(self, batch: Sequence[_Waiting]) -> list[pb.ReserveSpendResponse | MeshError]:
        timeout_s = _remaining_s(*batch)
        request = pb.ReserveSpendsRequest(items=[waiting.request for waiting in batch])
        try:
            answer = await self._ledger.reserve_spends(request, timeout_s=timeout_s)
        except MeshError as error:
            if error.code is Code.UNIMPLEMENTED:  # a ledger of an older release
                return list(await asyncio.gather(*(self._decide(waiting) for waiting in batch)))
            return [error] * len(batch)
        if len(answer.results) != len(batch):
            return [MeshError(Code.INTERNAL, "DECISION_UNKNOWN", "the ledger gave no decision")] * len(batch)
        return [
            result.decided if result.HasField("decided") else _error_from(result.error)
            for result in answer.results
        ]

    async def _decide(self, waiting: _Waiting) -> pb.ReserveSpendResponse | MeshError:
        try:
            return await self._ledger.reserve_spend(waiting.request, timeout_s=_remaining_s(waiting))
        except MeshError as error:
            return error


def _remaining_s(*batch: _Waiting) -> float:
    """Until the last of them gives up."""
    return max(max(waiting.end_s for waiting in batch) - asyncio.get_running_loop().time(), 0.001)


def _tell(waiting: _Waiting, result: pb.ReserveSpendResponse | MeshError) -> None:
    if waiting.future.done():
        return
    if isinstance(result, MeshError):
        # Each gets its own: a raised error carries the traceback of whoever raised it.
        waiting.future.set_exception(replace(result))
    else:
        waiting.future.set_result(result)


def _error_from(error: pb.ReserveSpendError) -> MeshError:
    return MeshError(
        Code(error.code),
        error.reason,
        error.message,
        retry_after_s=error.retry_after_s if error.HasField("retry_after_s") else None,
        fields=dict(error.fields),
        domain="ledger.meshgate",
    )


def _too_late(waiting: _Waiting) -> MeshError:
    if waiting.sent:  # as gRPC words it for an RPC of its own
        return MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "Deadline Exceeded")
    return MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "the ledger answers none of its calls")
