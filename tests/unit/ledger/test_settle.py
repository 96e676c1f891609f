"""Settlements, voids and expiries on a real PostgreSQL."""

import asyncio
import json
from datetime import UTC, datetime

import asyncpg
import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.closings import CloseItem, CloseRow
from meshgate_ledger.price import Cost, TokenCounts
from meshgate_ledger.records import Outcome
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import MASTER, TIMEOUT_S, books, entries, open_ledger

HOLD = 200


async def test_a_settlement_posts_the_cost_and_releases_the_hold(postgres_dsn: str) -> None:
    """In one entry, whose parts add up to what was charged."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000, user_id="u", team_id="t")
        await subject.reserve("r1", caller, end_user="e", tags=("x", "y"))
        posting = await subject.settle("r1", prompt=90, completion=5)
        (entry,) = await entries(postgres_dsn, "r1")

        assert (Cost(input=90, output=50), 140) == (posting.cost, posting.account_posted_nanos)
        assert (140, 0) == await subject.money()
        assert ("charge", 140, 140, HOLD, False) == tuple(
            entry[name] for name in ("kind", "amount_nanos", "balance_nanos", "held_nanos", "estimated")
        )
        assert ("u", "t", "e", ["x", "y"], "paid", "success") == tuple(
            entry[name] for name in ("user_id", "team_id", "end_user", "tags", "model", "outcome")
        )
        price = json.loads(entry["price"])
        assert ("config", 10_000_000) == (price["source"], price["rates"]["output"])


async def test_what_was_told_is_on_the_disk(postgres_dsn: str) -> None:
    """A settlement, and the repeat of one: PostgreSQL's log is flushed past it when it is answered."""
    connection = await asyncpg.connect(postgres_dsn)
    try:
        async with open_ledger(postgres_dsn) as subject:
            for number in range(20):
                await subject.reserve(f"r{number}", MASTER)
                for _ in range(2):
                    before = await connection.fetchval("SELECT pg_current_wal_insert_lsn()::text")
                    await subject.settle(f"r{number}")
                    assert await connection.fetchval(
                        "SELECT pg_current_wal_flush_lsn() > $1::text::pg_lsn", before
                    )
    finally:
        await connection.close()


async def test_tags_of_a_key_are_on_each_of_its_entries(postgres_dsn: str) -> None:
    """Before the call's own, none twice; also where the hold was lost."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(tags=("team-red", "x"))
        await subject.reserve("r1", caller, tags=("x", "y"))
        await subject.settle("r1")
        await subject.settle("r2", principal=caller, tags=("z",))

        for name, own in (("r1", "y"), ("r2", "z")):
            assert ["team-red", "x", own] == (await entries(postgres_dsn, name))[0]["tags"]


async def test_everything_said_of_a_call_is_on_its_entry(postgres_dsn: str) -> None:
    """Nothing that the edge reports is lost."""
    start = datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC)
    said: dict[str, object] = {
        "outcome": Outcome.FAILURE,
        "deployment_id": "gone",
        "provider": "anthropic",
        "upstream_model": "claude-sonnet-4-5",
        "model_group": "g",
        "estimated": True,
        "start_time": start,
        "end_time": start,
        "first_token_time": start,
        "cache_key": "c",
        "saved_nanos": 7,
        "uncompressed_prompt_tokens": 500,
        "error_reason": "UPSTREAM_TIMEOUT",
    }
    async with open_ledger(postgres_dsn) as subject:
        await subject.reserve("r1", MASTER)
        posting = await subject.settle("r1", tokens=TokenCounts(100, 10, 40, 20, 5), **said)
        (entry,) = await entries(postgres_dsn, "r1")

    assert said | {"outcome": "failure"} == {name: entry[name] for name in said}
    assert (100, 10, 40, 20, 5) == tuple(
        entry[f"{name}_tokens"] for name in ("prompt", "completion", "cached", "cache_creation", "reasoning")
    )
    # claude-sonnet-4-5: 3 / 15 USD per million tokens, 0.30 to read the cache, 3.75 to write it.
    assert Cost(120_000, 12_000, 75_000, 150_000, 0) == posting.cost


async def test_a_repeat_returns_the_first_posting(postgres_dsn: str) -> None:
    """One after the other, at the same time, and with other numbers."""
    async with open_ledger(postgres_dsn) as one, open_ledger(postgres_dsn) as other:
        caller = await one.add_key(budget=10_000)
        await one.reserve("r1", caller)
        await one.reserve("r2", caller)
        await one.settle("r2")
        answers = await asyncio.gather(
            *(replica.settle("r1", prompt=50) for replica in (one, other) for _ in range(10))
        )
        assert [answers[0]] * 20 == answers
        assert answers[0] == await other.settle("r1", prompt=99)
        assert 1 == len(await entries(postgres_dsn, "r1"))
        assert (HOLD + 150, 0) == await one.money()
        assert (await books(postgres_dsn)).balanced


async def test_a_call_without_a_hold(postgres_dsn: str) -> None:
    """Is unknown, unless it says who called: holds can be lost, entries cannot."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000, team_id="t")
        with pytest.raises(MeshError) as caught:
            await subject.settle("r1")
        assert (Code.NOT_FOUND, "HOLD_UNKNOWN") == (caught.value.code, caught.value.reason)
        posting = await subject.settle("r1", principal=caller)
        assert posting == await subject.settle("r1", principal=caller)
        assert posting == await subject.settle("r1")
        (entry,) = await entries(postgres_dsn, "r1")

        assert (HOLD, 0, "t", "paid") == tuple(
            entry[name] for name in ("amount_nanos", "held_nanos", "team_id", "model")
        )
        assert (HOLD, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_a_void_that_overtakes_its_reservation(postgres_dsn: str) -> None:
    """Refuses it when it comes, and everything after; nothing is held, nothing is posted."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.void("r1")
        await subject.void("r1")
        late = (subject.reserve("r1", caller), subject.settle("r1", principal=caller), subject.settle("r1"))
        for attempt in late:
            with pytest.raises(MeshError) as caught:
                await attempt
            assert (Code.FAILED_PRECONDITION, "ALREADY_VOIDED") == (caught.value.code, caught.value.reason)
        assert (0, 0) == await subject.money()
        assert [] == await entries(postgres_dsn, "r1")
        assert (await books(postgres_dsn)).balanced


async def test_a_denied_call_has_nothing_to_settle(postgres_dsn: str) -> None:
    """No provider was called for it."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1)
        await subject.reserve("r1", caller)
        for ending in (subject.settle("r1"), subject.void("r1"), subject.settle("r1", principal=caller)):
            with pytest.raises(MeshError, match="HOLD_UNKNOWN"):
                await ending


async def test_a_void_releases_and_charges_nothing(postgres_dsn: str) -> None:
    """It leaves an entry of zero; a repeat changes nothing; a settlement afterwards is a mistake."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        await subject.void("r1")
        await subject.void("r1")
        (entry,) = await entries(postgres_dsn, "r1")
        assert ("void", 0, "SERVICE_UNREACHABLE") == (
            entry["kind"],
            entry["amount_nanos"],
            entry["error_reason"],
        )
        assert (0, 0) == await subject.money()
        with pytest.raises(MeshError) as caught:
            await subject.settle("r1", principal=caller)
        assert (Code.FAILED_PRECONDITION, "ALREADY_VOIDED") == (caught.value.code, caught.value.reason)


async def test_what_was_settled_cannot_be_voided(postgres_dsn: str) -> None:
    """Money that was spent stays spent."""
    async with open_ledger(postgres_dsn) as subject:
        await subject.reserve("r1", MASTER)
        await subject.settle("r1")
        with pytest.raises(MeshError) as caught:
            await subject.void("r1")
        assert (Code.FAILED_PRECONDITION, "ALREADY_SETTLED") == (caught.value.code, caught.value.reason)


async def test_settle_and_void_at_the_same_time(postgres_dsn: str) -> None:
    """In one batch and over two replicas: one of them wins, wholly."""
    async with open_ledger(postgres_dsn) as one, open_ledger(postgres_dsn) as other:
        caller = await one.add_key()
        for number in range(20):
            await one.reserve(f"r{number}", caller)
        await asyncio.gather(
            *(replica.settle(f"r{number}") for number in range(20) for replica in (one, other)),
            *(replica.void(f"r{number}") for number in range(20) for replica in (other, one)),
            return_exceptions=True,
        )
        counts = [len(await entries(postgres_dsn, f"r{number}")) for number in range(20)]

        assert [1] * 20 == counts
        assert 0 == (await one.money())[1]
        assert (await books(postgres_dsn)).balanced


async def test_settle_and_void_in_one_batch(postgres_dsn: str) -> None:
    """The one that came first counts, the other one is told."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        await subject.reserve("r2", caller)
        results = await asyncio.gather(
            subject.settle("r1"),
            subject.void("r1"),
            subject.void("r2"),
            subject.settle("r2"),
            return_exceptions=True,
        )

        assert ["ALREADY_SETTLED", "ALREADY_VOIDED"] == [
            error.reason for error in results if isinstance(error, MeshError)
        ]
        assert (HOLD, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_an_expiry_that_comes_too_early_does_nothing(postgres_dsn: str) -> None:
    """Whoever thinks that a hold is due, PostgreSQL looks at its time again."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        closed = await subject.store.close(CloseItem(CloseRow("r1", "expiry")), TIMEOUT_S)

        assert "open" == closed.state
        assert (0, HOLD) == await subject.money()


async def test_a_bad_settlement_does_not_fail_its_neighbours(postgres_dsn: str) -> None:
    """An amount that fits no column, in the middle of a batch."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key()
        for number in range(6):
            await subject.reserve(f"r{number}", caller)
        results = await asyncio.gather(
            *(subject.settle(f"r{number}", saved_nanos=10**30 if number == 3 else 0) for number in range(6)),
            return_exceptions=True,
        )

        assert ["FIELD_INVALID"] == [error.reason for error in results if isinstance(error, MeshError)]
        assert (5 * HOLD, HOLD) == await subject.money()
        assert HOLD == (await subject.settle("r3")).cost.total


async def test_a_hit_costs_nothing_and_says_what_it_saved(postgres_dsn: str) -> None:
    """Whatever its tokens were."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller)
        posting = await subject.settle("r1", outcome=Outcome.CACHE_HIT, saved_nanos=140, cache_key="k")
        (entry,) = await entries(postgres_dsn, "r1")

        assert Cost() == posting.cost
        assert (0, 140, "cache_hit", None) == tuple(
            entry[name] for name in ("amount_nanos", "saved_nanos", "outcome", "price")
        )


async def test_an_expired_hold_is_charged_as_estimated_and_flagged(postgres_dsn: str) -> None:
    """No upstream call without an entry; before its time it is left alone; a second sweep does nothing."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller, hold_duration_s=10.0)
        clock.advance(9.9)
        assert 0 == await subject.sweeper.sweep()
        clock.advance(0.2)
        assert 1 == await subject.sweeper.sweep()
        assert 0 == await subject.sweeper.sweep()
        (entry,) = await entries(postgres_dsn, "r1")

        assert ("expiry", HOLD, True, 100, 10) == tuple(
            entry[name]
            for name in ("kind", "amount_nanos", "estimated", "prompt_tokens", "completion_tokens")
        )
        assert (100, 100) == (entry["input_nanos"], entry["output_nanos"])
        assert (HOLD, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


@pytest.mark.parametrize("completion", [5, 50], ids=["cheaper", "dearer"])
async def test_a_late_settlement_corrects_by_a_second_entry(postgres_dsn: str, completion: int) -> None:
    """Its answer is the whole charge, and a repeat returns it."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=10_000)
        await subject.reserve("r1", caller, hold_duration_s=1.0)
        clock.advance(2)
        await subject.sweeper.sweep()
        posting = await subject.settle("r1", completion=completion)
        cost = 100 + 10 * completion
        expiry, correction = await entries(postgres_dsn, "r1")

        assert (cost, cost) == (posting.cost.total, posting.account_posted_nanos)
        assert posting == await subject.settle("r1")
        assert ("expiry", HOLD) == (expiry["kind"], expiry["amount_nanos"])
        assert ("correction", cost - HOLD, HOLD, False) == tuple(
            correction[name] for name in ("kind", "amount_nanos", "corrected_nanos", "estimated")
        )
        assert (cost, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_a_late_void_pays_an_expiry_back(postgres_dsn: str) -> None:
    """No provider was called after all."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=1_000)
        await subject.reserve("r1", caller, hold_duration_s=1.0)
        clock.advance(2)
        await subject.sweeper.sweep()
        await subject.void("r1")
        await subject.void("r1")

        assert [HOLD, -HOLD] == [entry["amount_nanos"] for entry in await entries(postgres_dsn, "r1")]
        assert (0, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_an_unknown_price_is_never_silently_zero(postgres_dsn: str) -> None:
    """A budgeted key that fell back to a model without a price pays what was held, flagged; a key without
    a budget pays nothing, and the entry has no price."""
    elsewhere: dict[str, object] = {"deployment_id": "unpriced-1", "upstream_model": "nobody-knows-me"}
    async with open_ledger(postgres_dsn) as subject:
        poor, rich = await subject.add_key(1, budget=1_000), await subject.add_key(2)
        await subject.reserve("r1", poor)
        await subject.reserve("r2", rich)
        held = await subject.settle("r1", prompt=1, completion=1, **elsewhere)
        free = await subject.settle("r2", prompt=1, completion=1, **elsewhere)
        (held_entry,) = await entries(postgres_dsn, "r1")
        (free_entry,) = await entries(postgres_dsn, "r2")

        assert (HOLD, 0) == (held.cost.total, free.cost.total)
        assert (True, None) == (held_entry["estimated"], held_entry["price"])
        assert (0, None) == (free_entry["amount_nanos"], free_entry["price"])
        metric = "meshgate_ledger_unpriced_calls_total"
        assert 2.0 == subject.registry.get_sample_value(metric, {"provider": "openai"})
        assert (await books(postgres_dsn)).balanced


async def test_a_failed_call_without_tokens_costs_nothing(postgres_dsn: str) -> None:
    """Even for a budgeted key at a model without a price."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(1, budget=1_000)
        await subject.reserve("r1", caller)
        posting = await subject.settle(
            "r1", 0, 0, outcome=Outcome.FAILURE, upstream_model="nobody-knows-me", deployment_id=""
        )
        assert 0 == posting.cost.total


async def test_entries_are_for_good(postgres_dsn: str) -> None:
    """PostgreSQL itself refuses to change or to delete one."""
    async with open_ledger(postgres_dsn) as subject:
        await subject.reserve("r1", MASTER)
        await subject.settle("r1")
    connection = await asyncpg.connect(postgres_dsn)
    for statement in (
        "UPDATE ledger.entries SET amount_nanos = 0",
        "DELETE FROM ledger.entries",
        "TRUNCATE ledger.entries",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await connection.execute(statement)
    await connection.close()
    assert 1 == len(await entries(postgres_dsn, "r1"))


async def test_a_forgotten_request_cannot_be_charged_again(postgres_dsn: str) -> None:
    """Holds that ended long ago are deleted; their entries stay and answer for them."""
    clock = ManualClock()
    async with open_ledger(postgres_dsn, clock) as subject:
        caller = await subject.add_key(budget=10_000)
        await subject.reserve("settled", caller)
        posting = await subject.settle("settled")
        await subject.reserve("expired", caller)
        await subject.reserve("open", caller, hold_duration_s=86_400.0 * 30)
        clock.advance(1_000)
        await subject.sweeper.sweep()
        assert 0 == await subject.sweeper.forget()
        clock.advance(8 * 86_400)
        assert 2 == await subject.sweeper.forget()

        assert posting == await subject.settle("settled", principal=caller)
        with pytest.raises(MeshError, match="HOLD_UNKNOWN"):
            await subject.settle("expired", principal=caller)
        assert (2 * HOLD, HOLD) == await subject.money()
        assert (await books(postgres_dsn)).balanced
