"""Budgets, rates and slots of every account that a call counts on."""

import asyncio

import pytest

from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.record_store import AccountDefaults
from meshgate_ledger.records import Denial, DenialReason, Grant, Principal, ReserveCommand
from meshgate_ledger.scopes import base_accounts
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import (
    MASTER,
    OPEN,
    TIMEOUT_S,
    LedgerSubject,
    books,
    key_hash,
    open_ledger,
    principal,
)

HOLD = 200  # of a call to "paid": 100 prompt tokens at 1, 10 completion tokens at 10
TOKENS = 110


def reason(verdict: Grant | Denial) -> DenialReason | None:
    return verdict.reason if isinstance(verdict, Denial) else None


async def ask(
    subject: LedgerSubject, request_id: str, caller: Principal, **more: object
) -> DenialReason | None:
    return reason(await subject.reserve(request_id, caller, **more))  # type: ignore[arg-type]


SCOPES = [
    "key:" + key_hash(1),
    "user:u",
    "team:t",
    "member:t/u",
    "organization:o",
    "customer:c",
    "tag:own",
    "tag:sent",
    "gateway",
]


@pytest.mark.parametrize("model", ["", "|model:paid"], ids=["all models", "one model"])
@pytest.mark.parametrize("account_id", SCOPES)
async def test_every_account_of_a_call_limits_it(postgres_dsn: str, account_id: str, model: str) -> None:
    """All the same: by requests here; a denial names the limit and when its period ends."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(user_id="u", team_id="t", organization_id="o", tags=("own",))
        more = {"end_user": "c", "tags": ("sent",)}
        assert await ask(subject, "r1", caller, **more) is None
        await subject.limit(account_id + model, LimitSpec("requests", "60s", 2))
        assert await ask(subject, "r2", caller, **more) is None
        assert await ask(subject, "r3", caller, **more) is None
        denied = await subject.reserve("r4", caller, **more)

        assert isinstance(denied, Denial)
        assert denied.limit is not None
        assert (DenialReason.RATE_LIMITED, 60.0) == (denied.reason, denied.retry_after_s)
        assert (account_id + model, "requests", 2, 2) == (
            denied.limit.account_id,
            denied.limit.metric,
            denied.limit.maximum,
            denied.limit.used,
        )
        assert denied == await subject.reserve("r4", caller, **more)
        if model:
            assert await ask(subject, "r5", caller, model="free", **more) is None
        assert (await books(postgres_dsn)).balanced


async def test_a_denied_call_is_counted_nowhere(postgres_dsn: str) -> None:
    """All of its accounts or none."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(user_id="u", budget=10_000)
        await subject.limit("user:u", LimitSpec("requests", "60s", 9), LimitSpec("parallel", "", 9))
        await subject.limit("gateway", LimitSpec("requests", "60s", 1), LimitSpec("tokens", "60s", 10_000))
        assert await ask(subject, "r1", caller) is None
        assert await ask(subject, "r2", caller) is DenialReason.RATE_LIMITED

        assert {("requests", "60s"): 1, ("parallel", ""): 1} == await subject.uses("user:u")
        assert {("requests", "60s"): 1, ("tokens", "60s"): TOKENS} == await subject.uses("gateway")
        assert (0, HOLD) == await subject.money()


async def test_requests_begin_anew_with_the_next_period(postgres_dsn: str) -> None:
    """It runs from its first request, and a void does not give a request back."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key()
        await subject.limit("gateway", LimitSpec("requests", "60s", 2))
        clock.advance(30)
        assert await ask(subject, "r1", caller) is None
        clock.advance(59)
        assert await ask(subject, "r2", caller) is None
        await subject.void("r2")
        denied = await subject.reserve("r3", caller)
        assert isinstance(denied, Denial)
        assert pytest.approx(1.0) == denied.retry_after_s
        clock.advance(1)
        assert [None, None, DenialReason.RATE_LIMITED] == [
            await ask(subject, f"s{n}", caller) for n in range(3)
        ]


async def test_tokens_are_held_and_then_counted(postgres_dsn: str) -> None:
    """What a call did not use is free again in its own period, and only there."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key()
        await subject.limit("gateway", LimitSpec("tokens", "60s", 300))
        for name in ("r1", "r2"):
            assert await ask(subject, name, caller) is None
        assert await ask(subject, "r3", caller) is DenialReason.RATE_LIMITED
        await subject.settle("r1", prompt=40, completion=10)
        assert {("tokens", "60s"): 50 + TOKENS} == await subject.uses("gateway")
        await subject.void("r2")
        assert {("tokens", "60s"): 50} == await subject.uses("gateway")
        assert await ask(subject, "r4", caller) is None
        clock.advance(60)
        assert await ask(subject, "r5", caller) is None
        await subject.settle("r4", prompt=1, completion=1)
        assert {("tokens", "60s"): TOKENS} == await subject.uses("gateway")
        await subject.settle("r5", prompt=300, completion=100)
        assert {("tokens", "60s"): 400} == await subject.uses("gateway")
        assert await ask(subject, "r6", caller) is DenialReason.RATE_LIMITED


async def test_a_guessed_length_does_not_stand_in_the_way(postgres_dsn: str) -> None:
    """Of a limit of tokens that it alone would break: the prompt and 64 tokens are held then."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key()
        await subject.limit("gateway", LimitSpec("tokens", "60s", 180))
        assert await ask(subject, "r1", caller, output_tokens=100) is DenialReason.RATE_LIMITED
        assert await ask(subject, "r2", caller, output_tokens=None) is None
        assert {("tokens", "60s"): 164} == await subject.uses("gateway")


async def test_parallel_calls(postgres_dsn: str) -> None:
    """Have a slot until they end in any way; those from before the limit have none."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(user_id="u")
        assert await ask(subject, "r0", caller) is None
        await subject.limit("user:u", LimitSpec("parallel", "", 3))
        for name in ("r1", "r2", "r3"):
            assert await ask(subject, name, caller, hold_duration_s=10.0) is None
        denied = await subject.reserve("r4", caller)
        assert isinstance(denied, Denial)
        assert DenialReason.PARALLEL_LIMITED is denied.reason
        await subject.settle("r0")
        await subject.settle("r1")
        await subject.void("r2")
        assert {("parallel", ""): 1} == await subject.uses("user:u")
        clock.advance(11)
        await subject.sweeper.sweep()
        assert {("parallel", ""): 0} == await subject.uses("user:u")
        await subject.settle("r3")
        assert {("parallel", ""): 0} == await subject.uses("user:u")
        assert (await books(postgres_dsn)).balanced


async def test_the_slots_of_an_edge_that_is_gone(postgres_dsn: str) -> None:
    """Come back when its lease has expired, or at once when it says so; its holds stay."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key()
        await subject.limit("gateway", LimitSpec("parallel", "", 5))
        ledger = subject.ledger
        for edge in ("lives", "dies", "never-renewed", "leaves"):
            if edge != "never-renewed":
                assert 6.0 == await ledger.renew_lease(edge, TIMEOUT_S)
            assert await ask(subject, edge, caller, edge_id=edge) is None
        assert await ask(subject, "without", caller) is None
        assert 0 == await subject.sweeper.free_slots()
        await ledger.release_lease("leaves", TIMEOUT_S)
        assert {("parallel", ""): 4} == await subject.uses("gateway")
        clock.advance(4)
        await ledger.renew_lease("lives", TIMEOUT_S)
        clock.advance(2)
        assert 2 == await subject.sweeper.free_slots()
        assert {("parallel", ""): 2} == await subject.uses("gateway")
        assert (0, 5 * HOLD) == await subject.money()
        for name in ("dies", "leaves", "lives", "without"):
            await subject.settle(name)
        assert {("parallel", ""): 0} == await subject.uses("gateway")
        assert (await books(postgres_dsn)).balanced


async def test_a_budget_with_a_period(postgres_dsn: str) -> None:
    """Begins anew at midnight; what is still held counts in the new day, a bill counts when it comes."""
    clock = ManualClock(1_700_000_000_000_000_000)  # 22:13:20 UTC
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(team_id="t")
        await subject.limit("team:t", LimitSpec("spend", "1d", 500), LimitSpec("spend", "", 1_050))
        for name in ("r1", "r2"):
            assert await ask(subject, name, caller) is None
        await subject.settle("r1")
        denied = await subject.reserve("r3", caller)
        assert isinstance(denied, Denial)
        assert denied.limit is not None
        assert denied.limit.ends_at is not None
        assert ("2023-11-15T00:00:00+00:00", 2 * HOLD) == (
            denied.limit.ends_at.isoformat(),
            denied.spend_nanos,
        )
        clock.advance(2 * 3_600)
        assert await ask(subject, "r4", caller) is None  # with r2, which is still held: 400
        assert await ask(subject, "r5", caller) is DenialReason.BUDGET_EXCEEDED
        await subject.settle("r2")
        await subject.settle("r4")
        assert {("spend", "1d"): 2 * HOLD, ("spend", ""): 3 * HOLD} == await subject.uses("team:t")
        clock.advance(86_400)
        assert await ask(subject, "r6", caller) is None
        assert await ask(subject, "r7", caller) is None
        denied = await subject.reserve("r8", caller, output_tokens=0)
        assert isinstance(denied, Denial)
        assert denied.limit is not None
        assert ("", 1_050) == (denied.limit.period, denied.limit.maximum)
        assert (await books(postgres_dsn)).balanced


async def test_a_bill_that_comes_first_in_the_new_period(postgres_dsn: str) -> None:
    """Begins it: nothing of it is lost to the one before."""
    clock = ManualClock(1_700_000_000_000_000_000)
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key()
        await subject.limit("gateway", LimitSpec("spend", "1d", 500))
        await subject.reserve("r0", caller)
        await subject.settle("r0")
        await subject.reserve("r1", caller)
        clock.advance(2 * 3_600)
        await subject.settle("r1")
        assert {("spend", "1d"): HOLD} == await subject.uses("gateway")


async def test_a_users_budget_is_for_keys_without_a_team(postgres_dsn: str) -> None:
    """A user's rates are for all; a team's calls count as the user's spend, but are not refused for it."""
    async with open_ledger(postgres_dsn) as subject:
        own = await subject.add_key(1, user_id="u")
        teams = await subject.add_key(2, user_id="u", team_id="t")
        await subject.limit("user:u", LimitSpec("spend", "", HOLD), LimitSpec("requests", "60s", 3))
        assert await ask(subject, "r1", teams) is None
        assert await ask(subject, "r2", own) is DenialReason.BUDGET_EXCEEDED
        assert await ask(subject, "r3", teams) is None
        assert (0, 2 * HOLD, 0) == await subject.account("user:u")
        assert await ask(subject, "r4", teams, model="free") is None
        assert await ask(subject, "r5", teams) is DenialReason.RATE_LIMITED


@pytest.mark.parametrize("caller", [MASTER, OPEN], ids=["master", "open"])
async def test_the_gateways_limits_are_for_everybody(postgres_dsn: str, caller: Principal) -> None:
    """Also without a virtual key; end users are known then, too."""
    async with open_ledger(postgres_dsn) as subject:
        await subject.limit("gateway", LimitSpec("spend", "1d", 3 * HOLD))
        await subject.limit("customer:c", LimitSpec("spend", "", HOLD))
        assert await ask(subject, "r1", caller, end_user="c") is None
        assert await ask(subject, "r2", caller, end_user="c") is DenialReason.BUDGET_EXCEEDED
        assert await ask(subject, "r3", caller) is None
        assert await ask(subject, "r4", caller) is None
        assert await ask(subject, "r5", caller) is DenialReason.BUDGET_EXCEEDED


async def test_what_the_caller_is_told_of_limits(postgres_dsn: str) -> None:
    """All limits that took part as this decision left them, a soft budget too."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.limit("gateway", LimitSpec("requests", "60s", 5), LimitSpec("spend", "", None, 300))
        told = [
            await subject.ledger.reserve(ReserveCommand(f"r{n}", caller, "paid", 100, 10), TIMEOUT_S)
            for n in range(2)
        ]
        remaining = [
            [(each.metric, each.remaining, each.soft_exceeded) for each in one.limits] for one in told
        ]

        assert [
            [("spend", 800, False), ("spend", None, False), ("requests", 4, False)],
            [("spend", 600, False), ("spend", None, True), ("requests", 3, False)],
        ] == remaining


async def test_a_batch_tells_each_call_its_own(postgres_dsn: str) -> None:
    """In the order they were decided."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key()
        await subject.limit("gateway", LimitSpec("requests", "60s", 50))
        await subject.reserve("warm", caller)
        told = await asyncio.gather(
            *(subject.ledger.reserve(ReserveCommand(f"r{n}", caller, "paid"), TIMEOUT_S) for n in range(49))
        )

        assert list(range(48, -1, -1)) == [one.limits[0].remaining for one in told]


async def test_a_new_limit_counts_at_once_everywhere(postgres_dsn: str) -> None:
    """Also on a replica that knew that there is none, and a blocked account is blocked on its next call."""
    async with open_ledger(postgres_dsn) as one, open_ledger(postgres_dsn) as other:
        caller = await one.add_key(team_id="t")
        assert await ask(one, "r1", caller) is None
        await other.limit("team:t", LimitSpec("requests", "60s", 0))
        assert await ask(one, "r2", caller) is DenialReason.RATE_LIMITED
        await other.limit("team:t", blocked=True)
        assert await ask(one, "r3", caller) is DenialReason.ACCOUNT_BLOCKED
        await other.limit("team:t", models=["free"])
        assert await ask(one, "r4", caller) is DenialReason.MODEL_NOT_ALLOWED
        assert await ask(one, "r5", caller, model="free") is None


async def test_budgets_need_prices(postgres_dsn: str) -> None:
    """Of any account that the call counts on, as soon as it has one."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(team_id="t")
        assert await ask(subject, "r1", caller, model="unpriced") is None
        await subject.limit("team:t", LimitSpec("spend", "30d", 10**9))
        assert await ask(subject, "r2", caller, model="unpriced") is DenialReason.PRICE_UNKNOWN


async def test_defaults_of_accounts_that_nobody_made(postgres_dsn: str) -> None:
    """Come to be with the first call; those that have limits keep their own."""
    defaults = AccountDefaults({"customer": (LimitSpec("spend", "1d", HOLD),)})
    async with open_ledger(postgres_dsn, defaults=defaults) as subject:
        await subject.limit("customer:made")
        await subject.limit("customer:known", LimitSpec("requests", "60s", 9))
        exceeded = DenialReason.BUDGET_EXCEEDED
        for customer, second in (("new", exceeded), ("made", exceeded), ("known", None)):
            assert await ask(subject, f"{customer}1", MASTER, end_user=customer) is None
            assert await ask(subject, f"{customer}2", MASTER, end_user=customer) is second


def test_no_account_is_named_twice() -> None:
    """However often a tag is."""
    named = base_accounts(principal(1), None, "c", ("a", "b", "a"))

    assert ("key:" + key_hash(1), "customer:c", "tag:a", "tag:b", "gateway") == named
