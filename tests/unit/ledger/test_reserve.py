"""Reservations, decided by a real PostgreSQL."""

import asyncio

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.batches import Reserved, ReserveItem
from meshgate_ledger.records import Denial, DenialReason, Grant, ReserveCommand
from tests.unit.ledger.subject import MASTER, OPEN, TIMEOUT_S, books, key_hash, open_ledger, policy, principal

HOLD = 200  # 100 prompt tokens at 1, 10 completion tokens at 10


async def test_a_hold_is_what_the_call_may_cost(postgres_dsn: str) -> None:
    """It counts against the key until the call is settled."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=1_000)
        grant = await subject.reserve("r1", caller)

        assert isinstance(grant, Grant)
        assert ("paid", HOLD, 0) == (grant.resolved_model, grant.held_nanos, grant.spend_nanos)
        assert grant.key is not None
        assert (1_000, key_hash(1)) == (grant.key.max_budget_nanos, grant.key.key_hash)
        assert (0, HOLD) == await subject.money()


async def test_a_repeat_returns_the_first_decision(postgres_dsn: str) -> None:
    """Granted, granted and settled meanwhile, denied and affordable meanwhile: nothing is held twice."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=HOLD)
        first = await subject.reserve("r1", caller)
        denied = await subject.reserve("r2", caller)
        assert first == await subject.reserve("r1", caller)
        assert (0, HOLD) == await subject.money()

        await subject.settle("r1", prompt=1, completion=0)
        assert first == await subject.reserve("r1", caller)
        assert isinstance(denied, Denial)
        assert denied == await subject.reserve("r2", caller)
        assert (1, 0) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_a_repeat_says_that_it_is_one(postgres_dsn: str) -> None:
    """Granted or denied, in another batch or in the same one, settled meanwhile or not."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=HOLD)
        ledger = subject.ledger
        commands = [ReserveCommand(name, caller, "paid", 100, 10) for name in ("r1", "r2")]

        for command in commands:
            decisions = [
                await ledger.reserve(command, TIMEOUT_S),
                *await asyncio.gather(*(ledger.reserve(command, TIMEOUT_S) for _ in range(3))),
            ]
            assert [False, True, True, True] == [decision.is_repeat for decision in decisions]
        together = ReserveCommand("r3", caller, "free")
        decisions = await asyncio.gather(*(ledger.reserve(together, TIMEOUT_S) for _ in range(3)))
        assert [False, True, True] == [decision.is_repeat for decision in decisions]
        await subject.settle("r1")
        assert (await ledger.reserve(commands[0], TIMEOUT_S)).is_repeat


async def test_a_repeat_at_another_replica_that_knows_nothing(postgres_dsn: str) -> None:
    """Returns the same decision, with the same account."""
    async with open_ledger(postgres_dsn) as one, open_ledger(postgres_dsn) as other:
        caller = await one.add_key(budget=1_000, team_id="t", key_alias="a")

        assert await one.reserve("r1", caller) == await other.reserve("r1", caller)


async def test_a_request_id_belongs_to_one_call(postgres_dsn: str) -> None:
    """Another caller, or another model, cannot have the decision of a request that was granted before."""
    async with open_ledger(postgres_dsn) as subject:
        caller, other = await subject.add_key(1), await subject.add_key(2)
        await subject.reserve("r1", caller)
        for caller_again, model in ((other, "paid"), (caller, "free"), (MASTER, "paid")):
            with pytest.raises(MeshError) as caught:
                await subject.reserve("r1", caller_again, model=model)
            assert (Code.ALREADY_EXISTS, "REQUEST_ID_USED") == (caught.value.code, caught.value.reason)
        assert (0, 0) == await subject.money(2)


async def test_the_budget_is_kept_to_the_last_nano(postgres_dsn: str) -> None:
    """A hold that just fits is granted, the next one is not, and a free model still is."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=2 * HOLD)
        assert isinstance(await subject.reserve("r1", caller), Grant)
        assert isinstance(await subject.reserve("r2", caller), Grant)

        denied = await subject.reserve("r3", caller, output_tokens=0, prompt_tokens=1)
        assert isinstance(denied, Denial)
        assert (DenialReason.BUDGET_EXCEEDED, 2 * HOLD, 2 * HOLD) == (
            denied.reason,
            denied.spend_nanos,
            denied.max_budget_nanos,
        )
        assert isinstance(await subject.reserve("r4", caller, model="free"), Grant)
        assert (0, 2 * HOLD) == await subject.money()


async def test_a_call_that_does_not_fit_leaves_room_for_one_that_does(postgres_dsn: str) -> None:
    """In one batch, in this order: the big one is denied, the small one after it is granted."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=HOLD + 50)
        await subject.reserve("warm", caller, model="free")
        first, big, small = await asyncio.gather(
            subject.reserve("r1", caller),
            subject.reserve("r2", caller, output_tokens=1_000),
            subject.reserve("r3", caller, output_tokens=0, prompt_tokens=50),
        )

        assert isinstance(first, Grant)
        assert isinstance(big, Denial)
        assert isinstance(small, Grant)
        assert (0, HOLD + 50) == await subject.money()


async def test_who_came_first_is_served_first(postgres_dsn: str) -> None:
    """In one batch too."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=HOLD)
        await subject.reserve("warm", caller, model="free")
        first, second = await asyncio.gather(
            subject.reserve("r2", caller), subject.reserve("r1", caller, output_tokens=0)
        )

        assert isinstance(first, Grant)
        assert isinstance(second, Denial)


@pytest.mark.parametrize("caller", [MASTER, OPEN], ids=["master", "open"])
async def test_master_and_open_have_accounts_without_limit(postgres_dsn: str, caller: object) -> None:
    """They are held and charged like everybody, and never refused."""
    async with open_ledger(postgres_dsn) as subject:
        grant = await subject.reserve("r1", caller, output_tokens=10**9)
        await subject.settle("r1")
        verification = await books(postgres_dsn)

        assert isinstance(grant, Grant)
        assert grant.key is None
        assert (HOLD, 0) == (verification.posted_nanos, verification.pending_nanos)
        assert verification.balanced


async def test_unknown_and_deleted_keys(postgres_dsn: str) -> None:
    """Are denied at once, also by a replica that has just used the key."""
    async with open_ledger(postgres_dsn) as subject, open_ledger(postgres_dsn) as other:
        unknown = await subject.reserve("r1", principal(9))
        caller = await subject.add_key(budget=1_000)
        assert isinstance(await subject.reserve("r2", caller), Grant)
        await other.keys.delete("d1", [caller.key_hash], [], TIMEOUT_S)
        deleted = await subject.reserve("r3", caller)

        assert isinstance(unknown, Denial)
        assert isinstance(deleted, Denial)
        assert (DenialReason.KEY_UNKNOWN,) * 2 == (unknown.reason, deleted.reason)


async def test_a_change_elsewhere_counts_at_once(postgres_dsn: str) -> None:
    """A replica that remembers an older record of the key judges again by the new one."""
    async with open_ledger(postgres_dsn) as subject, open_ledger(postgres_dsn) as other:
        caller = await subject.add_key()
        assert isinstance(await subject.reserve("r1", caller), Grant)
        await other.add_key(blocked=True)
        blocked = await subject.reserve("r2", caller)
        await other.add_key(models=("free",))
        not_allowed = await subject.reserve("r3", caller)
        await other.add_key(budget=10)
        too_dear = await subject.reserve("r4", caller)

        reasons = [each.reason for each in (blocked, not_allowed, too_dear) if isinstance(each, Denial)]
        assert [
            DenialReason.KEY_BLOCKED,
            DenialReason.MODEL_NOT_ALLOWED,
            DenialReason.BUDGET_EXCEEDED,
        ] == reasons


async def test_a_key_that_never_rests(postgres_dsn: str) -> None:
    """A record that changes between every two round trips ends in an error, not in an endless loop."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key()
        decide = subject.store.reserve

        async def disturbed(item: ReserveItem, timeout_s: float) -> Reserved:
            await subject.add_key()
            return await decide(item, timeout_s)

        subject.store.reserve = disturbed  # type: ignore[method-assign]
        with pytest.raises(MeshError) as caught:
            await subject.reserve("r1", caller)
        assert (Code.ABORTED, "KEY_CHANGING") == (caught.value.code, caught.value.reason)


async def test_more_keys_than_are_remembered(postgres_dsn: str) -> None:
    """Cost a round trip more, and nothing else."""
    async with open_ledger(postgres_dsn, keys_remembered_max=1) as subject:
        callers = [await subject.add_key(number) for number in range(1, 6)]
        decisions = await asyncio.gather(
            *(subject.reserve(f"r{n}-{caller.key_hash}", caller) for n in range(3) for caller in callers)
        )

        assert all(isinstance(decision, Grant) for decision in decisions)


async def test_a_denial_by_the_rules_is_remembered_with_its_words(postgres_dsn: str) -> None:
    """A repeat says the same, even when the rule is gone."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(models=("free",))
        denied = await subject.reserve("r1", caller)
        await subject.add_key()

        assert isinstance(denied, Denial)
        assert "free" in denied.message
        assert denied == await subject.reserve("r1", caller)
        assert isinstance(await subject.reserve("r2", caller), Grant)


async def test_an_unknown_price_is_refused_only_to_budgets(postgres_dsn: str) -> None:
    """Without require_pricing; with it, to everyone; when it is off, to nobody."""
    async with open_ledger(postgres_dsn) as subject:
        poor, rich = await subject.add_key(1, budget=10**9), await subject.add_key(2)
        denied = await subject.reserve("r1", poor, model="unpriced")
        granted = await subject.reserve("r2", rich, model="unpriced")
        assert isinstance(denied, Denial)
        assert DenialReason.PRICE_UNKNOWN is denied.reason
        assert isinstance(granted, Grant)
        assert 0 == granted.held_nanos
    async with open_ledger(postgres_dsn, rules=policy(require_pricing=True)) as strict:
        assert isinstance(await strict.reserve("r3", MASTER, model="unpriced"), Denial)
    async with open_ledger(postgres_dsn, rules=policy(require_pricing=False)) as lax:
        assert isinstance(await lax.reserve("r4", poor, model="unpriced"), Grant)


async def test_duplicates_at_the_same_time_hold_once(postgres_dsn: str) -> None:
    """Twenty copies of one request, over two replicas, with and without a record in memory."""
    async with open_ledger(postgres_dsn) as one, open_ledger(postgres_dsn) as other:
        caller = await one.add_key(budget=10_000)
        answers = await asyncio.gather(
            *(replica.reserve("r1", caller) for replica in (one, other) for _ in range(10))
        )

        assert [answers[0]] * 20 == answers
        assert (0, HOLD) == await one.money()


async def test_a_bad_item_does_not_fail_its_neighbours(postgres_dsn: str) -> None:
    """A text that PostgreSQL cannot store, in the middle of a batch."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(budget=10_000)
        await subject.reserve("warm", caller)
        answers = await asyncio.gather(
            *(
                subject.reserve(f"r{number}", caller, edge_id="\0" if number == 3 else "")
                for number in range(8)
            ),
            return_exceptions=True,
        )

        refused = [answer for answer in answers if isinstance(answer, MeshError)]
        assert ["FIELD_INVALID"] == [error.reason for error in refused]
        assert 7 == sum(isinstance(answer, Grant) for answer in answers)
        assert (0, 8 * HOLD) == await subject.money()
