"""The edge says that it lives, whatever becomes of the ledger meanwhile."""

import asyncio

import pytest
from structlog.testing import capture_logs

from meshgate_edge.money.lease import Lease
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.clock import ManualClock
from tests.unit.edge.closing_stand_in import ClosingStandIn, away


async def run(lease: Lease, ledger: ClosingStandIn, renewals: int) -> None:
    """Keeps the lease until the ledger was asked so often."""
    task = asyncio.ensure_future(lease.keep())
    while len(ledger.leases) < renewals:
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_is_renewed_at_a_third() -> None:
    """Of what the ledger says a lease is."""
    ledger, clock = ClosingStandIn(), ManualClock()
    await run(Lease(LedgerServiceClient(ledger), "edge-1", clock), ledger, 4)

    assert {"edge-1"} == {request.edge_id for request in ledger.leases}
    assert [2.0, 2.0, 2.0] == clock.slept_s[:3]


async def test_a_ledger_that_is_away_is_asked_again_quietly() -> None:
    """One line when it goes, one when it is back."""
    ledger, clock = ClosingStandIn(errors=[away(), away(), away()]), ManualClock()
    with capture_logs() as logged:
        await run(Lease(LedgerServiceClient(ledger), "edge-1", clock), ledger, 6)

    assert ["the lease is not renewed", "the lease is renewed again"] == [line["event"] for line in logged]


async def test_it_is_given_back_at_the_end() -> None:
    """And no error stops the shutdown."""
    ledger = ClosingStandIn()
    lease = Lease(LedgerServiceClient(ledger), "edge-1", ManualClock())
    await lease.release()
    ledger.errors = [away()]
    await lease.release()

    assert [True, True] == [request.release for request in ledger.leases]
