"""Covers: asked for ahead of need, never delaying what is paid for, never letting pass what is not."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from rs_bpe.bpe import openai as vocabularies

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call import CallInfo, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.top_up import STEP_TOKENS_MIN, Cover, TopUps
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from tests.support.clock import ManualClock
from tests.unit.edge.closing_stand_in import ClosingStandIn, away

COUNTER = TokenCounter(vocabularies.o200k_base())


class Stream:
    """A stream of a budgeted key. `group`: the one that answers; the hold was made for gpt."""

    def __init__(self, *, covered: int, max_tokens: int | None = None, group: str = "gpt") -> None:
        chat = chat_pb.ChatRequest(model="gpt", stream=True)
        if max_tokens is not None:
            chat.max_tokens = max_tokens
        self.run = CallRun(
            call=ChatCall("call-1", Principal("virtual_key", "k"), chat),
            info=CallInfo("call-1", "gpt"),
            prompt_tokens=10,
            start_ns=0,
            start_monotonic_s=0.0,
            account=pb.Account(),
        )
        self.run.admitted(
            pb.ReserveSpendResponse(
                resolved_model="gpt",
                held_usd_nanos=100,
                covered_output_tokens=covered,
                remaining_budget_usd_nanos=1_000,
            )
        )
        self.run.served(
            router_pb.ServedBy(
                deployment_id="d", model_group=group, provider="openai", upstream_model="gpt-4o"
            )
        )
        self.ledger = ClosingStandIn()
        self.ledger.gate.set()
        self.tasks = TaskOwner("test", 10)
        self.clock = ManualClock()

    def cover(self) -> Cover | None:
        top_ups = TopUps(LedgerServiceClient(self.ledger), self.tasks, self.clock, 1.0)
        return top_ups.cover(self.run, COUNTER)

    def needed_cover(self) -> Cover:
        cover = self.cover()
        assert cover is not None
        return cover


@pytest.fixture
async def streams() -> AsyncIterator[list[Stream]]:
    """Streams whose tasks are ended afterwards."""
    made: list[Stream] = []
    yield made
    for stream in made:
        await stream.tasks.drain(0.0)


def chunks(count: int) -> Sequence[chat_pb.ChatChunk]:
    """So many chunks of one token each."""
    return [
        chat_pb.ChatChunk(choices=[chat_pb.ChoiceDelta(delta=chat_pb.MessageDelta(content=" word"))])
        for _ in range(count)
    ]


def granted(covered: int, *, all_of_it: bool) -> pb.TopUpSpendResponse:
    answer = pb.TopUpSpendResponse(covered_output_tokens=covered)
    if not all_of_it:
        answer.denial.reason = pb.Denial.REASON_BUDGET_EXCEEDED
        answer.denial.message = "spent"
    return answer


async def test_a_hold_that_pays_for_all_needs_none() -> None:
    """The common case costs no call: max_tokens are covered."""
    assert Stream(covered=100, max_tokens=100).cover() is None


async def test_without_a_budget_nothing_is_watched() -> None:
    """Nobody limits what is spent."""
    stream = Stream(covered=10)
    stream.run.info.remaining_budget_usd_nanos = None

    assert stream.cover() is None


async def test_a_model_without_a_price_needs_none() -> None:
    """Its hold is nothing."""
    stream = Stream(covered=0)
    stream.run.held_usd_nanos = 0

    assert stream.cover() is None


async def test_more_is_asked_for_before_it_is_needed() -> None:
    """When less than a quarter is left; nothing waits, even when the ledger does not answer."""
    stream = Stream(covered=100)
    stream.ledger.gate.clear()
    cover = stream.needed_cover()
    assert 75 == len(await cover.paid(chunks(75)))
    await asyncio.sleep(0)
    before = len(stream.ledger.top_ups)
    assert 25 == len(await cover.paid(chunks(25)))
    await asyncio.sleep(0)

    assert 0 == before
    assert [100 + STEP_TOKENS_MIN] == [each.output_tokens for each in stream.ledger.top_ups]
    request = stream.ledger.top_ups[0]
    assert ("call-1", "d", "openai", "gpt-4o", 10) == (
        request.request_id,
        request.deployment_id,
        request.provider,
        request.upstream_model,
        request.prompt_tokens,
    )
    await stream.tasks.drain(0.0)


async def test_what_is_not_paid_for_waits() -> None:
    """And goes on when it is."""
    stream = Stream(covered=10)
    stream.ledger.gate.clear()
    cover = stream.needed_cover()
    waiting = asyncio.ensure_future(cover.paid(chunks(11)))
    for _ in range(5):
        await asyncio.sleep(0)
    before = waiting.done()
    stream.ledger.gate.set()

    assert not before
    assert 11 == len(await waiting)
    assert 1 == len(stream.ledger.top_ups)


async def test_never_more_is_asked_for_than_the_client_allows() -> None:
    """The provider will not go beyond it."""
    stream = Stream(covered=10, max_tokens=40)
    cover = stream.needed_cover()
    await cover.paid(chunks(12))
    await cover.paid(chunks(20))
    await asyncio.sleep(0)

    assert [40] == [each.output_tokens for each in stream.ledger.top_ups]


async def test_a_refused_stream_ends_at_what_is_covered(streams: list[Stream]) -> None:
    """Exactly there, after one more question; with the ledger's denial."""
    stream = Stream(covered=10)
    streams.append(stream)
    stream.ledger.granted = [granted(15, all_of_it=False), granted(15, all_of_it=False)]
    cover = stream.needed_cover()
    paid = [len(await cover.paid(chunks(1))) for _ in range(16)]

    assert [1] * 15 + [0] == paid
    assert 2 == len(stream.ledger.top_ups)
    assert "BUDGET_EXCEEDED" == cover.refused.reason


async def test_a_budget_that_gets_room_again_lets_it_go_on(streams: list[Stream]) -> None:
    """Another call of the key ended, and its hold was released."""
    stream = Stream(covered=10)
    streams.append(stream)
    stream.ledger.granted = [granted(12, all_of_it=False), granted(500, all_of_it=True)]
    cover = stream.needed_cover()

    assert 100 == sum([len(await cover.paid(chunks(1))) for _ in range(100)])


async def test_a_dearer_group_is_priced_before_it_says_a_word(streams: list[Stream]) -> None:
    """The hold was made for another."""
    stream = Stream(covered=1_000, max_tokens=1_000, group="opus")
    streams.append(stream)
    stream.ledger.granted = [granted(3, all_of_it=False), granted(3, all_of_it=False)]
    cover = stream.needed_cover()
    paid = await cover.paid(chunks(5))

    assert 3 == len(paid)
    assert 1_000 == stream.ledger.top_ups[0].output_tokens


async def test_what_the_provider_says_of_itself_counts(streams: list[Stream]) -> None:
    """Hidden reasoning, for example, which nobody can count."""
    stream = Stream(covered=100)
    streams.append(stream)
    cover = stream.needed_cover()
    (chunk,) = chunks(1)
    chunk.usage.completion_tokens = 90
    await cover.paid([chunk])
    await asyncio.sleep(0)

    assert 1 == len(stream.ledger.top_ups)


async def test_a_ledger_that_is_away_is_asked_again() -> None:
    """A stream that is out of money waits a little, then ends with an error that is not the budget's."""
    stream = Stream(covered=10)
    stream.ledger.granted = [away(), away()]
    cover = stream.needed_cover()
    assert 11 == len(await cover.paid(chunks(11)))

    gone = Stream(covered=10)
    gone.ledger.granted = [away()] * 10
    cover = gone.needed_cover()
    assert 10 == len(await cover.paid(chunks(11)))
    assert "STORE_UNAVAILABLE" == cover.refused.reason
    assert [0.1, 0.2, 0.4] == gone.clock.slept_s


async def test_a_hold_that_has_expired_ends_no_answer() -> None:
    """It was charged as estimated; the settlement corrects that."""
    stream = Stream(covered=10)
    stream.ledger.granted = [MeshError(Code.FAILED_PRECONDITION, "ALREADY_SETTLED", "expired")]
    cover = stream.needed_cover()

    assert 500 == len(await cover.paid(chunks(500)))
