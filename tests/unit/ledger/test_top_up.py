"""Holds that grow while their call streams, and calls that are paid for in parts."""

import asyncio
from typing import Any

import pytest

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_chassis.errors import MeshError
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.price import TokenCounts
from meshgate_ledger.records import (
    Denial,
    DenialReason,
    Grant,
    Leg,
    Outcome,
    SettleCommand,
    ToppedUp,
    TopUpCommand,
)
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
DEAR = deployment("dear", upstream_model="d", price=DeploymentPrice(2_000_000, 40_000_000))
SERVED: dict[str, Any] = {"deployment_id": "paid-1", "provider": "openai", "upstream_model": "m"}


async def top_up(subject: LedgerSubject, request_id: str, output_tokens: int, **more: Any) -> ToppedUp:
    served = SERVED | more
    command = TopUpCommand(request_id, prompt_tokens=100, output_tokens=output_tokens, **served)
    return await subject.ledger.top_up(command, TIMEOUT_S)


async def test_a_hold_grows_as_far_as_the_tightest_budget_allows(postgres_dsn: str) -> None:
    """On every account of the call; a repeat changes nothing; less than it has is never taken."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000, team_id="t")
        await subject.limit("team:t", LimitSpec("spend", "1d", 505), LimitSpec("tokens", "60s", 115))
        await subject.reserve("r1", caller, can_top_up=True)
        for _ in range(2):
            assert ToppedUp(30, 400) == await top_up(subject, "r1", 30)
        assert ToppedUp(5, 400) == await top_up(subject, "r1", 5)
        assert (0, 400, 0) == await subject.account("team:t")
        for _ in range(2):
            short = await top_up(subject, "r1", 50)
            assert (40, 505) == (short.covered_output_tokens, short.held_nanos)
            assert short.denial is not None
            assert short.denial.limit is not None
            assert (DenialReason.BUDGET_EXCEEDED, "team:t") == (
                short.denial.reason,
                short.denial.limit.account_id,
            )
        assert {("spend", "1d"): 0, ("tokens", "60s"): 150} == await subject.uses("team:t")
        await subject.settle("r1", completion=40)
        assert (500, 0) == await subject.money()
        assert {("spend", "1d"): 500, ("tokens", "60s"): 140} == await subject.uses("team:t")
        assert (await books(postgres_dsn)).balanced


async def test_a_stream_begins_small_when_the_budget_is_nearly_used(postgres_dsn: str) -> None:
    """With the prompt and 64 tokens; who cannot top up is refused."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        whole = await subject.reserve("r1", caller, output_tokens=100)
        small = await subject.reserve("r2", caller, output_tokens=100, can_top_up=True)

        assert isinstance(whole, Denial)
        assert isinstance(small, Grant)
        assert (740, 64) == (small.held_nanos, small.covered_output_tokens)
        topped = await top_up(subject, "r2", 100)
        assert (90, 1_000) == (topped.covered_output_tokens, topped.held_nanos)
        assert (0, 1_000) == await subject.money()


async def test_a_dearer_deployment_answers(postgres_dsn: str) -> None:
    """The first top-up holds at its price, from then on."""
    async with open_ledger(postgres_dsn, rules=policy((*DEPLOYMENTS, DEAR))) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        dear = {"deployment_id": "dear-1", "upstream_model": "d"}
        assert ToppedUp(10, 600) == await top_up(subject, "r1", 10, **dear)
        short = await top_up(subject, "r1", 30, **dear)
        assert (20, 1_000) == (short.covered_output_tokens, short.held_nanos)


async def test_top_ups_without_a_deployment(postgres_dsn: str) -> None:
    """Are for the model that was reserved."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        nobody = {"deployment_id": "", "provider": "", "upstream_model": ""}
        assert ToppedUp(20, 300) == await top_up(subject, "r1", 20, **nobody)
        with pytest.raises(MeshError, match="HOLD_UNKNOWN"):
            await top_up(subject, "r2", 20, **nobody)


async def test_top_ups_of_calls_that_ended(postgres_dsn: str) -> None:
    """Are refused, by how they ended."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=1_000)
        for name in ("settled", "voided", "expired"):
            await subject.reserve(name, caller, hold_duration_s=10.0)
        await subject.settle("settled")
        await subject.void("voided")
        clock.advance(11)
        await subject.sweeper.sweep()
        for name, expected in (
            ("settled", "ALREADY_SETTLED"),
            ("voided", "ALREADY_VOIDED"),
            ("expired", "ALREADY_SETTLED"),
            ("never", "HOLD_UNKNOWN"),
        ):
            with pytest.raises(MeshError, match=expected):
                await top_up(subject, name, 20)


async def test_a_stream_that_goes_on_does_not_expire(postgres_dsn: str) -> None:
    """Each top-up gives it time."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller, hold_duration_s=600.0)
        for tokens in (20, 30):
            clock.advance(500)
            await top_up(subject, "r1", tokens)
        assert 0 == await subject.sweeper.sweep()
        clock.advance(901)
        assert 1 == await subject.sweeper.sweep()
        (entry,) = await entries(postgres_dsn, "r1")
        assert (400, 30) == (entry["amount_nanos"], entry["completion_tokens"])


async def test_many_streams_share_a_budget(postgres_dsn: str) -> None:
    """Topped up at the same time, from two replicas: never more than it has, and all of it."""
    async with open_ledger(postgres_dsn) as one, open_ledger(postgres_dsn) as other:
        caller = await one.add_key(budget=10_000)
        names = [f"r{number}" for number in range(20)]
        await asyncio.gather(*(one.reserve(name, caller, can_top_up=True) for name in names))
        told = [
            await top_up(replica, name, tokens)
            for tokens in (20, 40, 80)
            for name, replica in zip(names, (one, other) * 10, strict=True)
        ]
        assert any(each.denial for each in told)
        assert (0, 10_000) == await one.money()
        assert (await books(postgres_dsn)).balanced


async def test_legs_are_paid_with_the_call(postgres_dsn: str) -> None:
    """An entry for each provider call, at its own price, in one posting; a repeat finds all of them."""
    async with open_ledger(postgres_dsn, rules=policy((*DEPLOYMENTS, DEAR))) as subject:
        caller = await subject.add_key(budget=10_000, team_id="t")
        await subject.limit("team:t", LimitSpec("spend", "", 10_000), LimitSpec("tokens", "60s", 1_000))
        await subject.reserve("r1", caller)
        legs = (
            Leg(TokenCounts(100, 3), "dear-1", "openai", "d", "dear", estimated=True, reason="hedge"),
            Leg(TokenCounts(), "paid-1", "openai", "m", "paid", reason="retry"),
        )
        posting = await subject.settle("r1", legs=legs)
        assert 200 + 320 == posting.cost.total
        assert posting == await subject.settle("r1", legs=legs)
        assert posting == await subject.settle("r1")
        found = await entries(postgres_dsn, "r1")

        assert [(0, 200, False, ""), (1, 320, True, "hedge"), (2, 0, False, "retry")] == [
            (row["leg"], row["amount_nanos"], row["estimated"], row["leg_reason"]) for row in found
        ]
        assert [["team:t"]] * 3 == [row["scopes"] for row in found]
        assert {("spend", ""): 520, ("tokens", "60s"): 213} == await subject.uses("team:t")
        assert (520, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_an_expired_call_with_legs_is_corrected(postgres_dsn: str) -> None:
    """The estimate is taken back once, whatever the legs."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=10_000)
        await subject.reserve("r1", caller, hold_duration_s=10.0)
        clock.advance(11)
        await subject.sweeper.sweep()
        leg = Leg(TokenCounts(10, 1), "paid-1", "openai", "m", "paid")
        posting = await subject.settle("r1", prompt=50, completion=1, legs=(leg,))

        assert 60 + 20 == posting.cost.total
        assert (80, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_calls_that_were_admitted_while_the_ledger_was_away(postgres_dsn: str) -> None:
    """Are posted without a hold on all accounts that they count on, once, beyond any budget, and say so."""
    async with open_ledger(postgres_dsn) as subject, open_ledger(postgres_dsn) as other:
        caller = await subject.add_key(budget=100, team_id="t", user_id="u")
        await subject.limit("team:t", LimitSpec("spend", "1d", 100), LimitSpec("tokens", "60s", 1_000))
        await subject.limit("customer:c|model:paid", LimitSpec("spend", "1d", 100))
        command = SettleCommand(
            "r1",
            Outcome.SUCCESS,
            TokenCounts(100, 10),
            caller,
            model_group="paid",
            offline=True,
            end_user="c",
            tags=("x",),
            **SERVED,  # type: ignore[arg-type]
        )
        posting = await other.ledger.settle(command, TIMEOUT_S)
        assert posting == await subject.ledger.settle(command, TIMEOUT_S)
        (entry,) = await entries(postgres_dsn, "r1")

        assert (True, "paid", "c", ["x"], "t", "u") == tuple(
            entry[name] for name in ("offline", "model", "end_user", "tags", "team_id", "user_id")
        )
        assert {"user:u", "team:t", "customer:c", "customer:c|model:paid"} == set(entry["scopes"])
        assert {("spend", "1d"): HOLD, ("tokens", "60s"): 0} == await subject.uses("team:t")
        denied = await subject.reserve("r2", caller)
        assert isinstance(denied, Denial)
        assert (await books(postgres_dsn)).balanced


async def test_a_deleted_key_still_pays(postgres_dsn: str) -> None:
    """For a call whose hold is gone, too."""
    async with open_ledger(postgres_dsn) as subject, open_ledger(postgres_dsn) as other:
        caller = await subject.add_key(budget=1_000, team_id="t")
        await subject.limit("team:t", LimitSpec("spend", "", 1_000))
        await subject.keys.delete("d1", [caller.key_hash], [], TIMEOUT_S)
        await other.settle("r1", principal=caller)

        assert (HOLD, 0, 0) == await subject.account("team:t")
        assert (await books(postgres_dsn)).balanced
