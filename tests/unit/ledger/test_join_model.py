"""A fallback counts on the limits of its own model, besides those of the model that was asked for."""

import asyncio
from typing import Any

import pytest

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.price import TokenCounts
from meshgate_ledger.records import DenialReason, Grant, ToppedUp, TopUpCommand
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import (
    DEPLOYMENTS,
    TIMEOUT_S,
    LedgerSubject,
    books,
    deployment,
    entries,
    key_hash,
    open_ledger,
    policy,
)

HOLD = 200  # 100 prompt tokens at 1, 10 completion tokens at 10
OTHER = deployment("other", upstream_model="o", price=DeploymentPrice(1_000_000, 10_000_000))
FREE = deployment("unpriced", upstream_model="nobody-knows-this-one")
RULES = policy([*DEPLOYMENTS, OTHER, FREE])
PART = f"key:{key_hash(1)}|model:other"
FALLBACK: dict[str, Any] = {"deployment_id": OTHER.id, "upstream_model": "o", "model_group": "other"}


async def cover(subject: LedgerSubject, request_id: str, model: str = "other") -> ToppedUp:
    command = TopUpCommand(request_id, prompt_tokens=100, output_tokens=10, model=model)
    return await subject.ledger.top_up(command, TIMEOUT_S)


def reason(answer: ToppedUp) -> DenialReason | None:
    return None if answer.denial is None else answer.denial.reason


async def test_it_is_held_and_posted_on_both(postgres_dsn: str) -> None:
    """A repeat changes nothing, and more that is held for it is held there as well."""
    async with open_ledger(postgres_dsn, rules=RULES) as subject:
        caller = await subject.add_key(budget=10_000)
        await subject.limit(PART, LimitSpec("spend", "1d", 500), LimitSpec("tokens", "60s", 1_000))
        granted = await subject.reserve("r1", caller)
        for _ in range(2):
            assert ToppedUp(10, HOLD) == await cover(subject, "r1")
        assert (0, HOLD, 0) == await subject.account(PART)
        more = TopUpCommand("r1", prompt_tokens=100, output_tokens=20, deployment_id=OTHER.id)
        assert ToppedUp(20, 300) == await subject.ledger.top_up(more, TIMEOUT_S)
        assert (0, 300, 0) == await subject.account(PART)
        await subject.settle("r1", **FALLBACK)

        assert isinstance(granted, Grant) and granted.covers_model_only
        assert frozenset({"other"}) == granted.limited_models
        assert (HOLD, 0, 0) == await subject.account(PART)
        assert {("spend", "1d"): HOLD, ("tokens", "60s"): 110} == await subject.uses(PART)
        (entry,) = await entries(postgres_dsn, "r1")
        assert [PART] == entry["scopes"]
        assert (await books(postgres_dsn)).balanced


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (LimitSpec("spend", "1d", HOLD - 1), DenialReason.BUDGET_EXCEEDED),
        (LimitSpec("spend", "", HOLD - 1), DenialReason.BUDGET_EXCEEDED),
        (LimitSpec("requests", "60s", 0), DenialReason.RATE_LIMITED),
        (LimitSpec("tokens", "60s", 109), DenialReason.RATE_LIMITED),
        (LimitSpec("spend", "1d", HOLD), None),
        (LimitSpec("requests", "60s", 1), None),
        (LimitSpec("tokens", "60s", 110), None),
    ],
)
async def test_each_limit_refuses(postgres_dsn: str, limit: LimitSpec, expected: DenialReason | None) -> None:
    """Exactly; then nothing has changed, and the call may go on as it was."""
    async with open_ledger(postgres_dsn, rules=RULES) as subject:
        caller = await subject.add_key()
        await subject.limit(PART, limit)
        await subject.reserve("r1", caller)
        answer = await cover(subject, "r1")

        assert expected == reason(answer)
        assert (0 if expected else 10) == answer.covered_output_tokens
        assert (0, 0 if expected else HOLD, 0) == await subject.account(PART)
        await subject.settle("r1")
        assert (await books(postgres_dsn)).balanced


async def test_many_at_once_never_pass_it(postgres_dsn: str) -> None:
    """Calls that ask for the model itself, and calls that fall back on it."""
    async with open_ledger(postgres_dsn, rules=RULES) as one, open_ledger(postgres_dsn, rules=RULES) as two:
        caller = await one.add_key()
        await one.limit(PART, LimitSpec("spend", "1d", 10 * HOLD), LimitSpec("requests", "60s", 10))
        for number in range(20):
            await one.reserve(f"f{number}", caller)

        async def fall_back(number: int) -> bool:
            return (await cover((one, two)[number % 2], f"f{number}")).denial is None

        async def ask(number: int) -> bool:
            return isinstance(await two.reserve(f"a{number}", caller, model="other"), Grant)

        asked = [fall_back(number) for number in range(20)] + [ask(number) for number in range(20)]
        granted = await asyncio.gather(*asked)

        assert 10 == sum(granted)
        assert (0, 10 * HOLD, 0) == await one.account(PART)
        assert (await books(postgres_dsn)).balanced


async def test_slots_come_back(postgres_dsn: str) -> None:
    """What counts parallel calls counts them on all accounts of a call."""
    async with open_ledger(postgres_dsn, rules=RULES) as subject:
        caller = await subject.add_key()
        await subject.limit(f"key:{key_hash(1)}", LimitSpec("parallel", "", 5))
        await subject.limit(PART, LimitSpec("spend", "1d", 10_000))
        await subject.reserve("r1", caller)
        await cover(subject, "r1")
        assert (0, HOLD, 1) == await subject.account(PART)
        await subject.settle("r1", **FALLBACK)

        assert (HOLD, 0, 0) == await subject.account(PART)
        assert (await books(postgres_dsn)).balanced


async def test_a_rate_counts_in_the_period_of_its_admission(postgres_dsn: str) -> None:
    """A call that waited longer than that for its provider is in no later one."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock, rules=RULES) as subject:
        caller = await subject.add_key()
        await subject.limit(PART, LimitSpec("requests", "60s", 1))
        await subject.reserve("slow", caller)
        clock.advance(61)
        assert None is reason(await cover(subject, "slow"))
        assert isinstance(await subject.reserve("asked", caller, model="other"), Grant)
        await subject.reserve("late", caller)
        assert DenialReason.RATE_LIMITED == reason(await cover(subject, "late"))
        assert (await books(postgres_dsn)).balanced


async def test_a_price_is_needed_where_a_budget_is(postgres_dsn: str) -> None:
    """Of the fallback's own, too; a rate needs none."""
    async with open_ledger(postgres_dsn, rules=RULES) as subject:
        caller = await subject.add_key()
        part = f"key:{key_hash(1)}|model:unpriced"
        await subject.limit(part, LimitSpec("requests", "60s", 9))
        await subject.reserve("r1", caller)
        assert None is reason(await cover(subject, "r1", "unpriced"))
        await subject.limit(part, LimitSpec("spend", "1d", 10_000))
        await subject.reserve("r2", caller)
        assert DenialReason.PRICE_UNKNOWN == reason(await cover(subject, "r2", "unpriced"))


async def test_what_ended_joins_nothing(postgres_dsn: str) -> None:
    """Its hold is gone."""
    async with open_ledger(postgres_dsn, rules=RULES) as subject:
        caller = await subject.add_key()
        await subject.limit(PART, LimitSpec("spend", "1d", 500))
        await subject.reserve("r1", caller)
        await subject.settle("r1", tokens=TokenCounts(1, 1))
        assert None is await subject.store.join_model("r1", "other", TIMEOUT_S)
        assert None is await subject.store.join_model("nobody", "other", TIMEOUT_S)
        assert (0, 0, 0) == await subject.account(PART)
        assert (await books(postgres_dsn)).balanced
