"""Virtual keys in a real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.records import Denial, DenialReason, Grant, KeyRecord, KeyState
from tests.unit.ledger.subject import (
    MASTER,
    TIMEOUT_S,
    books,
    entries,
    key_hash,
    open_ledger,
    policy,
    principal,
)

RECORD = KeyRecord(
    key_hash=key_hash(1),
    key_name="sk-...abcd",
    key_alias="alias",
    user_id="user",
    team_id="team",
    models=("paid", "openai/*"),
    aliases={"fast": "paid"},
    max_budget_nanos=123,
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    blocked=True,
    metadata_json='{"b": 1, "a": [1.0]}',
    settings_json='{"rpm_limit": 5}',
)


BUDGET = LimitPlan(max_budget_nanos=123)


def without_times(state: KeyState | None) -> KeyRecord:
    assert state is not None
    return KeyRecord(
        **{
            name: getattr(state.record, name)
            for name in KeyRecord.__dataclass_fields__
            if name not in ("created_at", "updated_at", "version")
        }
    )


async def test_a_key_comes_back_as_it_was_made(postgres_dsn: str) -> None:
    """Every member, JSON byte for byte, with no money yet."""
    async with open_ledger(postgres_dsn) as subject:
        made = await subject.keys.create("c1", RECORD, TIMEOUT_S)
        found = await subject.keys.get(key_hash(1), TIMEOUT_S)

        assert replace(RECORD, account_id=f"key:{key_hash(1)}", limits=BUDGET) == without_times(made)
        assert made == found
        assert (0, 0) == (made.posted_nanos, made.held_nanos)
        assert subject.clock.now_ns() // 1_000_000_000 == int(made.record.created_at.timestamp())


async def test_making_a_key_is_idempotent(postgres_dsn: str) -> None:
    """The same request again, also at the same time, makes one key and returns it."""
    async with open_ledger(postgres_dsn) as subject:
        states = await asyncio.gather(*(subject.keys.create("c1", RECORD, TIMEOUT_S) for _ in range(5)))

        assert [states[0]] * 5 == states
        assert 1 == states[0].record.version


async def test_an_alias_belongs_to_one_key(postgres_dsn: str) -> None:
    """Until its key is deleted; no alias is not an alias."""
    async with open_ledger(postgres_dsn) as subject:
        await subject.add_key(1, key_alias="a")
        with pytest.raises(MeshError) as caught:
            await subject.add_key(2, key_alias="a")
        assert (Code.ALREADY_EXISTS, "KEY_ALIAS_TAKEN") == (caught.value.code, caught.value.reason)
        assert await subject.keys.get(key_hash(2), TIMEOUT_S) is None

        await subject.keys.delete("d1", [], ["a"], TIMEOUT_S)
        await subject.add_key(2, key_alias="a")
        await subject.add_key(3)
        await subject.add_key(4)
        assert (await books(postgres_dsn)).balanced


async def test_the_same_secret_again_is_the_same_account(postgres_dsn: str) -> None:
    """New rules, old money: also after it was deleted."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(1, budget=1_000, key_alias="old")
        await subject.reserve("r1", caller)
        await subject.settle("r1")
        await subject.add_key(1, budget=300)
        assert isinstance(await subject.reserve("r2", caller), Denial)
        await subject.keys.delete("d1", [key_hash(1)], [], TIMEOUT_S)
        await subject.add_key(1, budget=500)

        assert not isinstance(await subject.reserve("r3", caller), Denial)
        assert (200, 200) == await subject.money()
        assert (await books(postgres_dsn)).balanced


async def test_deleting_keys(postgres_dsn: str) -> None:
    """By hash and by alias; a repeat returns the first answer; entries and calls under way stay."""
    async with open_ledger(postgres_dsn) as subject:
        caller = await subject.add_key(1, budget=1_000)
        await subject.add_key(2, key_alias="two")
        await subject.add_key(3, key_alias="three")
        await subject.reserve("r1", caller)
        for _ in range(2):
            deleted = await subject.keys.delete("d1", [key_hash(1), key_hash(9)], ["two", "?"], TIMEOUT_S)
            assert {key_hash(1), key_hash(2)} == set(deleted.hashes)
            assert ("two",) == deleted.aliases

        assert await subject.keys.get(key_hash(1), TIMEOUT_S) is None
        assert await subject.keys.get(key_hash(3), TIMEOUT_S) is not None
        await subject.settle("r1")
        assert 1 == len(await entries(postgres_dsn, "r1"))
        with pytest.raises(MeshError) as caught:
            await subject.keys.delete("d2", [key_hash(1)], ["two"], TIMEOUT_S)
        assert (Code.NOT_FOUND, "KEY_UNKNOWN") == (caught.value.code, caught.value.reason)
        assert (await books(postgres_dsn)).balanced


async def test_no_alias_matches_the_empty_alias(postgres_dsn: str) -> None:
    """Deleting the alias "" must not delete every key that has none."""
    async with open_ledger(postgres_dsn) as subject:
        await subject.add_key(1)
        with pytest.raises(MeshError, match="KEY_UNKNOWN"):
            await subject.keys.delete("d1", [], [""], TIMEOUT_S)


async def test_whom_the_configuration_blocks(postgres_dsn: str) -> None:
    """Nobody on the list calls, looks at a key, or lists models; the others do."""
    blocked = frozenset({MASTER.key_hash, principal(1).key_hash, sha256(b"thief").hexdigest()})
    async with open_ledger(postgres_dsn, rules=replace(policy(), blocked=blocked)) as subject:
        for number, user_id in ((1, ""), (2, "thief"), (3, "u")):
            await subject.add_key(number, user_id=user_id)
        for number, caller in enumerate((MASTER, principal(1), principal(2))):
            for verdict in (
                await subject.ledger.authenticate(caller, TIMEOUT_S),
                await subject.reserve(f"r{number}", caller),
            ):
                assert isinstance(verdict, Denial)
                assert DenialReason.KEY_BLOCKED is verdict.reason

        assert isinstance(await subject.ledger.authenticate(principal(3), TIMEOUT_S), KeyState)
        assert isinstance(await subject.reserve("r3", principal(3)), Grant)
        assert isinstance(await subject.reserve("r4", principal(3), end_user="thief"), Denial)


async def test_authenticating(postgres_dsn: str) -> None:
    """Says who it is; denies unknown, blocked and expired keys; the master key is nobody's."""
    async with open_ledger(postgres_dsn) as subject:
        await subject.add_key(1, user_id="u")
        await subject.add_key(2, blocked=True)
        await subject.add_key(3, expires_at=datetime(2000, 1, 1, tzinfo=UTC))
        known = await subject.ledger.authenticate(principal(1), TIMEOUT_S)
        denials = [await subject.ledger.authenticate(principal(number), TIMEOUT_S) for number in (2, 3, 4)]

        assert isinstance(known, KeyState)
        assert "u" == known.record.user_id
        assert await subject.ledger.authenticate(MASTER, TIMEOUT_S) is None
        assert [
            DenialReason.KEY_BLOCKED,
            DenialReason.KEY_EXPIRED,
            DenialReason.KEY_UNKNOWN,
        ] == [denial.reason for denial in denials if isinstance(denial, Denial)]
