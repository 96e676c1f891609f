"""Hedges where a budget applies: made only when the hold pays for both calls, and raised for afterwards."""

import asyncio

import pytest

from meshgate_edge.money.hedges import FIRST_OUTPUT_TOKENS, HEDGE_LOST, pays_for_hedge
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from tests.unit.edge.test_top_up import Stream, chunks

INPUT, OUTPUT = 1_000, 2_000  # nano-USD of a token
LEAST = 2 * (10 * INPUT + FIRST_OUTPUT_TOKENS * OUTPUT)  # two prompts of ten tokens, and the first words
LEG = router_pb.Leg(
    deployment_id="slow", provider="openai", upstream_model="gpt-4o", estimated=True, reason=HEDGE_LOST
)


def stream(held: int, *, left: int = 1_000_000_000, input_rate: int = INPUT) -> Stream:
    made = Stream(covered=1_000, max_tokens=1_000)
    made.run.held_usd_nanos, made.run.info.remaining_budget_usd_nanos = held, left
    rates = (pb.Rates(input=rate * 1_000_000, output=OUTPUT * 1_000_000) for rate in (1, input_rate))
    made.run.prices = [pb.DeploymentPrice(provider="openai", rates=rate) for rate in rates]
    return made


@pytest.mark.parametrize(("held", "pays"), [(LEAST - 1, False), (LEAST, True), (0, True)])
def test_the_hold_has_to_pay_for_two(held: int, pays: bool) -> None:
    """Prompts and first words, at the dearest price; what costs nothing is paid for."""
    assert pays is pays_for_hedge(stream(held).run, may_hedge=True)
    assert not pays_for_hedge(stream(LEAST, input_rate=INPUT + 1).run, may_hedge=True)


def test_who_is_not_hedged() -> None:
    """Near the end of the budget, resumed, priced by nobody, or not wanted."""
    near, resumed, unpriced = stream(LEAST, left=LEAST), stream(LEAST), stream(LEAST)
    resumed.run.resume = "token"
    unpriced.run.prices = ()

    assert not any(pays_for_hedge(each.run, may_hedge=True) for each in (near, resumed, unpriced))
    assert not pays_for_hedge(stream(LEAST).run, may_hedge=False)


def test_without_a_budget_everybody_may_be() -> None:
    """Nothing has to be held."""
    free = stream(LEAST)
    free.run.info.remaining_budget_usd_nanos = None

    assert pays_for_hedge(free.run, may_hedge=False)


async def test_the_hold_is_raised_while_the_answer_comes() -> None:
    """Its first words leave at once; then the loser is held for as well."""
    hedged = stream(LEAST)
    hedged.run.legs = [LEG]
    cover = hedged.needed_cover()
    first = await cover.paid(chunks(FIRST_OUTPUT_TOKENS // 2))
    await asyncio.sleep(0)
    before = len(hedged.ledger.top_ups)
    rest = await cover.paid(chunks(200))
    await hedged.tasks.drain(1.0)

    assert (FIRST_OUTPUT_TOKENS // 2, 0, 200) == (len(first), before, len(rest))
    request = hedged.ledger.top_ups[0]
    assert (1_000, 10) == (request.output_tokens, request.prompt_tokens)
    assert [("slow", HEDGE_LOST, 10)] == [
        (leg.deployment_id, leg.reason, leg.tokens.prompt_tokens) for leg in request.legs
    ]


async def test_a_loser_that_brought_more_is_held_for_before_anything_is_sent() -> None:
    """It is billed as its provider told, all of it; only then comes the winner."""
    hedged, lost = stream(LEAST), router_pb.Leg()
    lost.CopyFrom(LEG)
    lost.usage.prompt_tokens, lost.usage.completion_tokens = 10, FIRST_OUTPUT_TOKENS + 1
    hedged.run.legs = [lost]
    first = await hedged.needed_cover().paid(chunks(10))

    assert 10 == len(first)
    assert [FIRST_OUTPUT_TOKENS + 1] == [
        leg.tokens.completion_tokens for leg in hedged.ledger.top_ups[0].legs
    ]


async def test_a_short_answer_asks_for_nothing() -> None:
    """Its first words are all of it."""
    hedged = stream(LEAST)
    hedged.run.legs = [LEG]
    paid = await hedged.needed_cover().paid(chunks(FIRST_OUTPUT_TOKENS // 2))
    await asyncio.sleep(0)

    assert FIRST_OUTPUT_TOKENS // 2 == len(paid)
    assert [] == hedged.ledger.top_ups
