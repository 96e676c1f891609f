"""A cost that is told before it is posted, and when that may be."""

import pytest

from meshgate_edge.money.cost import ROOM, has_room, known_cost
from meshgate_edge.money.rate_limits import Limit
from meshgate_ledger.charges import settlement
from meshgate_ledger.convert import settle_command_from
from meshgate_ledger.price import Price, PriceTier, Rates
from meshgate_ledger.records import utc
from meshgate_ledger.told_prices import rates_to, tiers_to
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

PRICE = Price(
    Rates(input=333_333, output=1_000_001, cache_read=33_333, request_nanos=7, audio_input=9, audio_output=8),
    "test",
    (PriceTier(200, Rates(input=500_001, output=2_000_003, cache_creation=7, reasoning=3)),),
)
TOLD = [
    pb.DeploymentPrice(
        deployment_id="d",
        provider="openai",
        upstream_model="m",
        rates=rates_to(PRICE.rates),
        tiers=tiers_to(PRICE),
    )
]


def request(**members: object) -> pb.SettleSpendRequest:
    made = pb.SettleSpendRequest(
        request_id="id", outcome=pb.OUTCOME_SUCCESS, deployment_id="d", provider="openai", upstream_model="m"
    )
    if "tokens" not in members:
        made.tokens.prompt_tokens = 3
    made.MergeFrom(pb.SettleSpendRequest(**members))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("prompt", [0, 1, 199, 200, 201, 1_000_003])
@pytest.mark.parametrize("cached", [0, 5, 2_000_000])
@pytest.mark.parametrize("completion", [0, 11])
@pytest.mark.parametrize("reasoning", [0, 3, 50])
def test_what_is_told_is_what_is_charged(prompt: int, cached: int, completion: int, reasoning: int) -> None:
    """By each component, through the contract, in every tier, and for counts that make no sense."""
    tokens = pb.TokenCounts(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_creation_tokens=2,
        reasoning_tokens=reasoning,
        audio_prompt_tokens=4,
        audio_completion_tokens=6,
    )
    asked = request(tokens=tokens)
    row = settlement(settle_command_from(asked), lambda *_: PRICE, utc(0)).main
    cost = known_cost(TOLD, asked)

    assert cost is not None
    assert (cost.input, cost.cached_input) == (row.input_nanos, row.cached_input_nanos)
    assert (cost.output, cost.reasoning) == (row.output_nanos, row.reasoning_nanos)
    assert cost.cache_creation == row.cache_creation_nanos


@pytest.mark.parametrize(
    "asked",
    [
        request(deployment_id="another"),
        request(upstream_model="another"),
        request(offline=True),
        request(legs=[pb.SpendLeg()]),
        request(tokens=pb.TokenCounts(prompt_tokens=-1)),
        request(tokens=pb.TokenCounts(completion_tokens=10**12)),
    ],
)
def test_what_only_the_ledger_knows_is_not_told(asked: pb.SettleSpendRequest) -> None:
    """A fallback, several provider calls, a call without a hold, counts that are refused."""
    assert None is known_cost(TOLD, asked)


def test_an_answer_from_the_cache_costs_nothing() -> None:
    """Whoever made it."""
    cost = known_cost([], request(outcome=pb.OUTCOME_CACHE_HIT, tokens=pb.TokenCounts(prompt_tokens=5)))

    assert cost is not None
    assert 0 == cost.total


@pytest.mark.parametrize(
    ("kind", "remaining", "expected"),
    [
        ("tokens", ROOM * 100, True),
        ("tokens", ROOM * 100 - 1, False),
        ("max_parallel_requests", ROOM, True),
        ("max_parallel_requests", ROOM - 1, False),
        ("requests", 0, True),
    ],
)
def test_a_near_limit_has_no_room(kind: str, remaining: int, expected: bool) -> None:
    """What a posting gives back has to be there for the caller's next call; requests are not given back."""
    limit = Limit("api_key", "k", "", kind, "60s", 10**9, remaining)

    assert expected is has_room([limit], None, 1_000, 100)


def test_a_near_budget_has_no_room() -> None:
    assert has_room([], ROOM * 1_000, 1_000, 100)
    assert not has_room([], ROOM * 1_000 - 1, 1_000, 100)
