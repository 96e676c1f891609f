"""Closings: in batches, repeated until they are done, and never lost without a word."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.money.settlement import ATTEMPTS_BEFORE_SPOOL, ATTEMPTS_MAX, Settlement, SettlementLimits
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.clock import ManualClock
from tests.unit.edge.closing_stand_in import CHARGED, ClosingStandIn, away


def settlement(ledger: ClosingStandIn, **limits: int) -> Settlement:
    return Settlement(LedgerServiceClient(ledger), ManualClock(), SettlementLimits(**limits))


def request(name: str) -> pb.SettleSpendRequest:
    return pb.SettleSpendRequest(request_id=name)


async def test_nothing_waits_for_company() -> None:
    """A closing that finds nobody at work is on its way alone."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    subject = settlement(ledger)
    posting = await subject.posted(subject.settle(request("one")), 5.0)

    assert posting is not None
    assert CHARGED == posting.charged_usd_nanos
    assert [["one"]] == ledger.batches


async def test_what_waits_goes_together() -> None:
    """At most `batches_max` batches of `items_max` are under way; the rest waits and is not forgotten."""
    ledger = ClosingStandIn()
    subject = settlement(ledger, items_max=10, batches_max=2)
    subject.settle(request("first"))
    await asyncio.sleep(0)
    subject.settle(request("second"))
    await asyncio.sleep(0)
    for number in range(25):
        subject.void(f"late-{number}", "NOT_SENT")
    await asyncio.sleep(0)
    before = list(ledger.batches)
    ledger.gate.set()
    left = await subject.drain(5.0)

    assert [["first"], ["second"]] == before
    assert 0 == left
    assert [1, 1, 10, 10, 5] == [len(batch) for batch in ledger.batches]
    assert 27 == len(set(ledger.closed))
    assert 2 == ledger.under_way_most


async def test_one_that_fails_is_repeated_without_its_neighbours() -> None:
    """Each item has a result of its own."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    ledger.refused["bad"] = [away(), away()]
    subject = settlement(ledger)
    closings = [subject.settle(request(name)) for name in ("good", "bad", "fine")]
    postings = [await subject.posted(closing, 5.0) for closing in closings]

    assert [CHARGED] * 3 == [posting.charged_usd_nanos for posting in postings if posting is not None]
    assert [["good", "bad", "fine"], ["bad"], ["bad"]] == ledger.batches


async def test_a_ledger_that_is_away_is_asked_again() -> None:
    """Later and later, and with what has come meanwhile."""
    ledger = ClosingStandIn(errors=[away(), away(), away(), None])
    ledger.gate.set()
    subject = settlement(ledger)
    closing = subject.settle(request("one"))

    assert await subject.posted(closing, 5.0) is not None
    assert 4 == len(ledger.batches)
    assert ["one"] == ledger.closed


async def test_a_batch_that_is_refused_is_halved() -> None:
    """One that makes the whole call invalid does not take its neighbours with it."""
    invalid = MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "no")
    ledger = ClosingStandIn(errors=[invalid, None, invalid])
    ledger.gate.set()
    subject = settlement(ledger)
    good, bad = subject.settle(request("good")), subject.settle(request("bad"))

    assert await subject.posted(good, 5.0) is not None
    assert await subject.posted(bad, 5.0) is None
    assert bad.done.is_set()
    assert [["good", "bad"], ["good"], ["bad"]] == ledger.batches


async def test_a_hold_that_never_was_is_done() -> None:
    """A reservation that did not arrive needs no release."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    ledger.refused["one"] = [MeshError(Code.NOT_FOUND, "HOLD_UNKNOWN", "no")]
    subject = settlement(ledger)
    closing = subject.void("one", "RESERVATION_UNANSWERED")

    assert 0 == await subject.drain(5.0)
    assert closing.done.is_set()
    assert 1 == len(ledger.batches)


async def test_cancelling_who_waits_loses_nothing() -> None:
    """The client went away while its answer was settled."""
    ledger = ClosingStandIn()
    subject = settlement(ledger)
    waiting = asyncio.ensure_future(subject.posted(subject.settle(request("one")), 5.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    ledger.gate.set()

    assert 0 == await subject.drain(5.0)
    assert ["one"] == ledger.closed


async def test_one_request_is_once_in_a_batch() -> None:
    """The contract wants different request_ids."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    subject = settlement(ledger)
    for name in ("one", "two", "one", "three"):
        subject.void(name, "NOT_SENT")

    assert 0 == await subject.drain(5.0)
    assert [["one", "two"], ["one", "three"]] == ledger.batches


async def test_too_many_are_refused() -> None:
    """With a reason, at once."""
    subject = settlement(ClosingStandIn(), open_max=2)
    subject.settle(request("one"))
    subject.settle(request("two"))

    with pytest.raises(MeshError) as caught:
        subject.settle(request("three"))
    assert "QUEUE_FULL" == caught.value.reason
    await subject.drain(0.0)


class Kept:
    """A spool."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def keep(self, items: Sequence[pb.CloseSpend]) -> None:
        self.ids += [item.settle.request_id for item in items]

    def intended(self, request_id: str) -> bool:
        return request_id == "offline"


@pytest.mark.parametrize("has_spool", [False, True])
async def test_what_cannot_be_posted_is_kept_or_named(has_spool: bool) -> None:
    """After the last attempt, and when the drain's time is over; who waits is told."""
    attempts = ATTEMPTS_BEFORE_SPOOL if has_spool else ATTEMPTS_MAX
    ledger = ClosingStandIn(errors=[away()] * attempts)
    ledger.gate.set()
    spool = Kept()
    subject = Settlement(
        LedgerServiceClient(ledger), ManualClock(), SettlementLimits(), spool if has_spool else None
    )
    with capture_logs() as logged:
        closing = subject.settle(request("tried"))
        assert await subject.posted(closing, 5.0) is None
        ledger.gate.clear()
        subject.settle(request("late"))
        await asyncio.sleep(0)
        left = await subject.drain(0.0)

    assert 1 == left
    assert attempts + 1 == len(ledger.batches)
    assert (["tried", "late"] if has_spool else []) == spool.ids
    given_up = [line for line in logged if line["event"] == "settlements given up: their holds expire"]
    assert (0 if has_spool else 2) == len(given_up)


async def test_what_nobody_waits_for_is_posted_in_company() -> None:
    """Together after a moment; at once with something that somebody waits for."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    subject = settlement(ledger)
    told = [subject.settle(request(name), told_nanos=CHARGED) for name in ("one", "two")]
    await told[1].done.wait()
    subject.settle(request("three"), told_nanos=CHARGED)
    assert await subject.posted(subject.settle(request("four")), 5.0) is not None

    assert [["one", "two"], ["four", "three"]] == ledger.batches


async def test_who_asks_what_was_spent_is_told_of_what_was_answered() -> None:
    """It is posted then; drain does so, too."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    subject = Settlement(LedgerServiceClient(ledger), StoppedClock(), SettlementLimits())
    subject.settle(request("one"), told_nanos=CHARGED)
    await subject.caught_up(5.0)
    assert ["one"] == ledger.closed

    subject.settle(request("two"), told_nanos=CHARGED)
    assert 0 == await subject.drain(5.0)
    assert ["one", "two"] == ledger.closed


async def test_a_cost_that_was_told_wrong_is_logged() -> None:
    """The posting has the last word."""
    ledger = ClosingStandIn()
    ledger.gate.set()
    subject = settlement(ledger)
    with capture_logs() as lines:
        for name, told in (("right", CHARGED), ("wrong", CHARGED + 1)):
            await subject.settle(request(name), told_nanos=told).done.wait()

    assert ["wrong"] == [line["request_id"] for line in lines if line["event"] == "charged other than told"]


class StoppedClock(ManualClock):
    """Nothing that waits for it goes on."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()
