"""Posting what calls cost: at least once, in the background of the answer, never lost silently.

The ledger makes a repeat harmless (request_id), so a settlement is retried until it is posted or its
attempts are used up; then the hold expires at the ledger, which charges the estimate and flags it.
Invariant: a task that settles outlives the request it settles for, and is awaited at drain.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

log = structlog.get_logger("meshgate.edge.settlement")

T = TypeVar("T")

ATTEMPTS_MAX = 8
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
RETRIED = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.INTERNAL})


class Settlement:
    """Settles and voids holds."""

    def __init__(self, ledger: LedgerServiceClient, tasks: TaskOwner, clock: Clock, timeout_s: float) -> None:
        self._ledger = ledger
        self._tasks = tasks
        self._clock = clock
        self._timeout_s = timeout_s

    def settle(self, request: pb.SettleSpendRequest) -> "asyncio.Task[pb.SettleSpendResponse | None]":
        """Starts posting; the task's result is None when every attempt failed."""

        async def post() -> pb.SettleSpendResponse:
            return await self._ledger.settle_spend(request, timeout_s=self._timeout_s)

        return self._tasks.start(self._until_done(post, request.request_id), "settle")

    def void(self, request_id: str, reason: str) -> "asyncio.Task[pb.VoidSpendResponse | None]":
        """Starts releasing a hold for which no provider was called."""

        async def post() -> pb.VoidSpendResponse:
            request = pb.VoidSpendRequest(request_id=request_id, reason=reason[:64])
            return await self._ledger.void_spend(request, timeout_s=self._timeout_s)

        return self._tasks.start(self._until_done(post, request_id), "void")

    async def posted(
        self, task: "asyncio.Task[pb.SettleSpendResponse | None]", wait_s: float
    ) -> pb.SettleSpendResponse | None:
        """The posting when it is done within `wait_s`, else None: the answer does not wait for ever."""
        done, _ = await asyncio.wait({task}, timeout=wait_s)
        return task.result() if done else None

    async def _until_done(self, post: Callable[[], Awaitable[T]], request_id: str) -> T | None:
        backoff_s = BACKOFF_FIRST_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                with detached_scope(self._timeout_s):
                    return await post()
            except MeshError as error:
                if error.reason == "HOLD_UNKNOWN":  # a reservation that never arrived: nothing to close
                    log.info("nothing was held", request_id=request_id)
                    return None
                if error.code not in RETRIED or attempt == ATTEMPTS_MAX:
                    log.error("not settled", request_id=request_id, error=str(error), attempts=attempt)
                    return None
            await self._clock.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
        return None
