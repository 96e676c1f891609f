"""Tells the ledger that this edge lives, so that it keeps the slots of max_parallel_requests for its calls.

A ledger that is away is asked again and again, with one word in the log: it gives the slots back by itself,
and takes the edge as living again with the next renewal.
"""

from typing import Final

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import MeshError
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

log = structlog.get_logger("meshgate.edge.lease")

PAUSE_S: Final = 2.0  # until the ledger has said how long a lease is
PAUSE_S_MIN: Final = 0.2
TIMEOUT_S: Final = 1.0


class Lease:
    """Of this process. Run `keep` in an owned task, and `release` when the calls are over."""

    def __init__(self, ledger: LedgerServiceClient, edge_id: str, clock: Clock) -> None:
        self._ledger = ledger
        self._edge_id = edge_id
        self._clock = clock
        self._pause_s = PAUSE_S
        self._failing = False

    async def keep(self) -> None:
        """Renews at a third of the lease, for ever."""
        while True:
            await self.renew()
            await self._clock.sleep(self._pause_s)

    async def renew(self) -> bool:
        """One renewal; False: the ledger did not hear it."""
        try:
            answer = await self._call(pb.RenewLeaseRequest(edge_id=self._edge_id))
        except MeshError as error:
            if not self._failing:
                log.warning("the lease is not renewed", error=error.reason)
            self._failing = True
            return False
        if self._failing:
            log.info("the lease is renewed again")
        self._failing = False
        self._pause_s = max(PAUSE_S_MIN, answer.lease_duration.ToNanoseconds() / 3e9)
        return True

    async def release(self) -> None:
        """Gives all slots back; without the ledger they come back when the lease is over."""
        try:
            await self._call(pb.RenewLeaseRequest(edge_id=self._edge_id, release=True))
        except MeshError as error:
            log.info("the lease runs out by itself", error=error.reason)

    async def _call(self, request: pb.RenewLeaseRequest) -> pb.RenewLeaseResponse:
        with detached_scope(TIMEOUT_S):
            return await self._ledger.renew_lease(request, timeout_s=TIMEOUT_S)
