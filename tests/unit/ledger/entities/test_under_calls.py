"""Management while calls are admitted: no lock is ever waited for in a circle, and no call is lost."""

import asyncio
from dataclasses import replace
from functools import partial

import asyncpg

from meshgate_chassis.errors import MeshError
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.entities.records import Entity, EntityKind
from meshgate_ledger.records import Grant, KeyRecord
from tests.unit.ledger.entities.management import TIMEOUT_S, Management, change, management
from tests.unit.ledger.subject import LedgerSubject, books, key_hash, open_ledger, principal

TEAM = EntityKind.TEAM
KEYS = 4
ROUNDS = 8
ATTEMPTS_MAX = 100


async def call(subject: LedgerSubject, number: int, times: int) -> int:
    """Reserves and settles, one after the other; how many were admitted."""
    admitted = 0
    for time in range(times):
        request_id = f"{number}-{time}"
        if isinstance(await reserved(subject, number, request_id), Grant):
            await subject.settle(request_id)
            admitted += 1
    return admitted


async def reserved(subject: LedgerSubject, number: int, request_id: str) -> object:
    """Rules that change all the time may be told as KEY_CHANGING, which is to be tried again."""
    for _ in range(ATTEMPTS_MAX):
        try:
            return await subject.reserve(request_id, principal(number))
        except MeshError as error:
            assert "KEY_CHANGING" == error.reason
    raise AssertionError("the rules never kept still")


async def manage(office: Management) -> None:
    """Everything that touches several accounts at once."""
    for time in range(ROUNDS):
        plan = LimitPlan(max_budget_nanos=10**12 + time, model_requests_per_minute={f"m{time % 3}": time})
        for kind, entity_id in ((TEAM, "t"), (EntityKind.BUDGET, "b")):
            await office.entities.update(
                change(),
                Entity(kind, entity_id),
                partial(replace, limits=plan, member_limits=plan),
                TIMEOUT_S,
            )
        hashed = key_hash(1 + time % KEYS)
        await office.keys.update(change(), hashed, lambda before: replace(before, tags=("x",)), TIMEOUT_S)


async def test_calls_and_changes_at_the_same_time(postgres_dsn: str) -> None:
    """On accounts that all of them count on, by two replicas."""
    async with (
        management(postgres_dsn) as office,
        open_ledger(postgres_dsn) as one,
        open_ledger(postgres_dsn) as other,
    ):
        await office.entities.create(
            change(), Entity(EntityKind.BUDGET, "b", limits=LimitPlan(parallel_calls=50)), TIMEOUT_S
        )
        await office.entities.create(change(), Entity(TEAM, "t"), TIMEOUT_S)
        for number in range(1, KEYS + 1):
            record = KeyRecord(key_hash(number), user_id=f"u{number}", team_id="t", budget_id="b")
            await office.keys.create(f"key-{number}", record, TIMEOUT_S)
            await office.members.put(change(), "t", {f"u{number}": lambda each: each}, TIMEOUT_S)

        results = await asyncio.gather(
            *(call((one, other)[number % 2], number, ROUNDS) for number in range(1, KEYS + 1)),
            manage(office),
            manage(office),
        )

        assert [ROUNDS] * KEYS == list(results[:KEYS])
        team = await office.entities.get(TEAM, "t", TIMEOUT_S)
        keys = [await office.keys.get(key_hash(number), TIMEOUT_S) for number in range(1, KEYS + 1)]
        assert team.usage.total_spend_nanos == sum(key.posted_nanos for key in keys if key is not None) > 0
    assert () == (await books(postgres_dsn)).differences
    connection = await asyncpg.connect(postgres_dsn)
    deadlocks = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    assert 0 == deadlocks
