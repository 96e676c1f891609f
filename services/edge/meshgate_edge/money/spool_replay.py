"""Posts what is in the spool as soon as the ledger answers; also what a dead process left in the folder."""

from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from meshgate_chassis.clock import Clock
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.money.spool import Spool
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

log = structlog.get_logger("meshgate.edge.spool")

INTERVAL_S: Final = 1.0
ADOPT_ROUNDS: Final = 10  # every so many rounds it looks for files that siblings left
BATCH: Final = 128
TIMEOUT_S: Final = 5.0
NOT_FOR_EVER: Final = frozenset(
    code.value for code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.INTERNAL)
)
# Of a release: nothing was held, or what was held is closed already; both are as well.
SETTLED_ALREADY: Final = frozenset({"HOLD_UNKNOWN", "ALREADY_SETTLED"})


class SpoolReplay:
    """One task; see `run`."""

    def __init__(
        self, spool: Spool, ledger: LedgerServiceClient, clock: Clock, registry: CollectorRegistry
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        count = Gauge("meshgate_edge_spool_items", "Calls that wait for the ledger", registry=registry)
        count.set_function(lambda: float(spool.count))
        size = Gauge("meshgate_edge_spool_bytes", "Size of the spool's file", registry=registry)
        size.set_function(lambda: float(spool.size_bytes))
        self._posted = Counter("meshgate_edge_spool_posted", "Calls posted from the spool", registry=registry)
        self._refused = Counter(
            "meshgate_edge_spool_refused",
            "Calls that the ledger will never take",
            registry=registry,
        )

    async def run(self) -> None:
        """Until cancelled."""
        round_number = 0
        while True:
            await self._clock.sleep(INTERVAL_S)
            round_number += 1
            try:
                if round_number % ADOPT_ROUNDS == 0:
                    await self._spool.adopt()
                count = await self.replay()
            except MeshError as error:
                log.debug("the spool waits", reason=error.reason, count=self._spool.count)
                continue
            except OSError as error:  # the disk's; what is in the spool is posted again
                log.error("the spool fails", error=error.strerror, count=self._spool.count)
                continue
            if count:
                log.info("the spool was posted", count=count)

    async def replay(self) -> int:
        """Posts everything that can be posted now; returns how many were. Raises when the ledger is away."""
        total = 0
        while batch := self._spool.owed(BATCH):
            count = await self._post(batch)
            total += count
            if count < len(batch):
                break  # some have to come again
        return total

    async def _post(self, batch: Sequence[tuple[str, pb.CloseSpend]]) -> int:
        request = pb.CloseSpendsRequest(items=[item for _, item in batch])
        try:
            with detached_scope(TIMEOUT_S):
                answer = await self._ledger.close_spends(request, timeout_s=TIMEOUT_S)
        except MeshError as error:
            if error.code.value in NOT_FOR_EVER:
                raise
            if len(batch) > 1:  # because of one of them: find out which
                middle = len(batch) // 2
                return await self._post(batch[:middle]) + await self._post(batch[middle:])
            failure = pb.CloseSpendError(code=error.code.value, reason=error.reason, message=error.message)
            answer = pb.CloseSpendsResponse(results=[pb.CloseSpendResult(error=failure)])
        over = []
        for (request_id, item), result in zip(batch, answer.results, strict=True):
            if await self._is_over(item, result):
                over.append(request_id)
        await self._spool.posted(over)
        self._posted.inc(len(over))
        return len(over)

    async def _is_over(self, item: pb.CloseSpend, result: pb.CloseSpendResult) -> bool:
        if not result.HasField("error"):
            return True
        if item.HasField("void") and result.error.reason in SETTLED_ALREADY:
            return True
        if result.error.code in NOT_FOR_EVER:
            return False
        log.error("a call of the spool is refused", reason=result.error.reason, error=result.error.message)
        self._refused.inc()
        await self._spool.refuse(item, result.error)
        return True
