"""What a hold covers besides what it was made for: other models, and callers that were blocked meanwhile."""

import json
from typing import Any

import asyncpg
import pytest

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.price import TokenCounts
from meshgate_ledger.records import DenialReason, Grant, Leg, Principal, ToppedUp, TopUpCommand
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import (
    DEPLOYMENTS,
    TIMEOUT_S,
    LedgerSubject,
    books,
    deployment,
    entries,
    open_ledger,
    policy,
)

HOLD = 200  # 100 prompt tokens at 1, 10 completion tokens at 10
DEAR = (
    deployment("dear", upstream_model="d", price=DeploymentPrice(2_000_000, 40_000_000)),
    deployment("dear", upstream_model="e", price=DeploymentPrice(1_000_000, 20_000_000), number=2),
    deployment("half", upstream_model="h", price=DeploymentPrice(1_000_000, 1_000_000)),
    deployment("half", upstream_model="nobody-knows-me", number=2),
)
MODELS = (*DEPLOYMENTS, *DEAR)


async def cover(subject: LedgerSubject, model: str, output_tokens: int = 10, **more: Any) -> ToppedUp:
    command = TopUpCommand("r1", prompt_tokens=100, output_tokens=output_tokens, model=model, **more)
    return await subject.ledger.top_up(command, TIMEOUT_S)


async def execute(dsn: str, statement: str, caller: Principal) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, caller.key_hash)
    finally:
        await connection.close()


async def test_another_model_is_covered_at_its_dearest_price(postgres_dsn: str) -> None:
    """Whoever of its deployments will answer; a cheaper one changes nothing."""
    async with open_ledger(postgres_dsn, rules=policy(MODELS)) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)

        assert ToppedUp(10, HOLD) == await cover(subject, "free")
        assert ToppedUp(10, 600) == await cover(subject, "dear")
        assert (0, 600) == await subject.money()


async def test_a_model_that_the_budget_does_not_pay_for(postgres_dsn: str) -> None:
    """Less is covered than was asked for, and it is said why."""
    async with open_ledger(postgres_dsn, rules=policy(MODELS)) as subject:
        caller = await subject.add_key(budget=300)
        await subject.reserve("r1", caller)
        covered = await cover(subject, "dear")

        assert (2, 300) == (covered.covered_output_tokens, covered.held_nanos)
        assert covered.denial is not None
        assert DenialReason.BUDGET_EXCEEDED is covered.denial.reason


@pytest.mark.parametrize("model", ["half", "unpriced"])
async def test_a_model_without_all_prices_is_not_covered(postgres_dsn: str, model: str) -> None:
    """Nothing is held for it, and the message names it; unless the operator wants none to be needed."""
    async with open_ledger(postgres_dsn, rules=policy(MODELS)) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        covered = await cover(subject, model)

        assert 0 == covered.covered_output_tokens
        assert covered.denial is not None
        assert DenialReason.PRICE_UNKNOWN is covered.denial.reason
        assert repr(model) in covered.denial.message
        assert (0, HOLD) == await subject.money()
    async with open_ledger(postgres_dsn, rules=policy(MODELS, require_pricing=False)) as subject:
        assert (await cover(subject, model)).denial is None


async def test_who_has_to_ask(postgres_dsn: str) -> None:
    """Callers with a budget; all, where prices are required; nobody else."""
    async with open_ledger(postgres_dsn) as subject:
        budgeted, free = await subject.add_key(1, budget=1_000), await subject.add_key(2)
        team = await subject.add_key(3, team_id="t")
        await subject.limit("team:t", LimitSpec("spend", "", 1_000))
        granted = [await subject.reserve(f"r{n}", who) for n, who in enumerate((budgeted, free, team))]
    async with open_ledger(postgres_dsn, rules=policy(require_pricing=True)) as subject:
        granted.append(await subject.reserve("r9", free))

    assert [True, False, True, True] == [
        isinstance(each, Grant) and each.covers_model_only for each in granted
    ]


async def test_blocked_and_deleted_callers_get_no_more(postgres_dsn: str) -> None:
    """What is held stays, and pays for what it did."""
    async with open_ledger(postgres_dsn) as subject:
        for number, name in enumerate(("blocked", "deleted", "team"), 1):
            caller = await subject.add_key(number, budget=1_000, team_id=name)
            await subject.reserve(name, caller)
            if name == "deleted":
                await subject.keys.delete("d1", [caller.key_hash], [], TIMEOUT_S)
            elif name == "blocked":
                await execute(
                    postgres_dsn, "UPDATE ledger.keys SET blocked = true WHERE key_hash = $1", caller
                )
            else:
                await subject.limit("team:team", blocked=True)
        told = [
            await subject.ledger.top_up(TopUpCommand(name, prompt_tokens=100, output_tokens=30), TIMEOUT_S)
            for name in ("blocked", "deleted", "team")
        ]

        assert [DenialReason.KEY_BLOCKED, DenialReason.KEY_BLOCKED, DenialReason.ACCOUNT_BLOCKED] == [
            each.denial.reason for each in told if each.denial
        ]
        assert [(10, HOLD)] * 3 == [(each.covered_output_tokens, each.held_nanos) for each in told]
        assert (await books(postgres_dsn)).balanced


async def test_a_leg_without_a_price_is_flagged(postgres_dsn: str) -> None:
    """It costs nothing, and nobody is to take that for exact."""
    async with open_ledger(postgres_dsn, rules=policy(require_pricing=False)) as subject:
        caller = await subject.add_key(budget=10_000)
        await subject.reserve("r1", caller)
        legs = (
            Leg(TokenCounts(100, 3), "unpriced-1", "openai", "nobody-knows-me", reason="hedge_lost"),
            Leg(TokenCounts(100, 3), "paid-1", "openai", "m", reason="hedge_lost"),
        )
        await subject.settle("r1", legs=legs)
        found = await entries(postgres_dsn, "r1")

        assert [(HOLD, False, True), (0, True, False), (130, False, True)] == [
            (row["amount_nanos"], row["estimated"], row["price"] is not None) for row in found
        ]


async def test_tiers_and_audio_are_charged_and_noted(postgres_dsn: str) -> None:
    """By the prompt's size, for the whole call; a hold has the dearer tier when the prompt is near to it."""
    tier = DeploymentPrice(3_000_000, 20_000_000, audio_input_nanos_per_mtok=9_000_000)
    price = DeploymentPrice(1_000_000, 10_000_000, reasoning_nanos_per_mtok=30_000_000, tiers=((110, tier),))
    tiered = deployment("tiered", upstream_model="t", price=price)
    async with open_ledger(postgres_dsn, ManualClock(), policy((*DEPLOYMENTS, tiered))) as subject:
        caller = await subject.add_key(budget=100_000)
        near = await subject.reserve("r1", caller, model="tiered")
        far = await subject.reserve("r2", caller, model="tiered", prompt_tokens=90)
        served = {"deployment_id": "tiered-1", "upstream_model": "t"}
        await subject.settle("r1", tokens=TokenCounts(111, 5, audio_prompt=11), **served)
        await subject.settle("r2", tokens=TokenCounts(90, 5, reasoning=2, audio_prompt=11), **served)
        above, below = [(await entries(postgres_dsn, name))[0] for name in ("r1", "r2")]

    assert isinstance(near, Grant)
    assert isinstance(far, Grant)
    assert (100 * 9 + 10 * 20, 90 + 10 * 30) == (near.held_nanos, far.held_nanos)
    assert (100 * 3 + 11 * 9, 5 * 20) == (above["input_nanos"], above["output_nanos"])
    assert (90, 3 * 10, 2 * 30) == (below["input_nanos"], below["output_nanos"], below["reasoning_nanos"])
    assert {"prompt": 11, "completion": 0} == json.loads(above["price"])["audio_tokens"]
    assert "audio_tokens" not in below["price"]
