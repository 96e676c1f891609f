"""Whoever remembers a key or an account hears of its changes, on every replica."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import asyncpg

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.errors import MeshError
from meshgate_ledger.watch import WAITING_MAX, AccountWatch, Changed, Listener, WatchOptions
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.eventually import eventually
from tests.support.ledger_service import running_ledger
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.subject import key_hash

TIMEOUT_S = 20.0
KEY_ACCOUNT = f"key:{key_hash(1)}"


class Heard:
    """What a replica's listener was told."""

    def __init__(self) -> None:
        self.messages: list[pb.WatchAccountsResponse] = []
        self.ended = False

    @property
    def ids(self) -> set[str]:
        return {account_id for message in self.messages for account_id in message.account_ids}

    @property
    def alls(self) -> int:
        return sum(message.all for message in self.messages)


@contextlib.asynccontextmanager
async def listening(client: LedgerServiceClient) -> AsyncIterator[Heard]:
    """Listens while it is open, from the moment that the replica listens."""
    heard = Heard()

    async def listen() -> None:
        async for message in client.watch_accounts(pb.WatchAccountsRequest(), timeout_s=60):
            heard.messages.append(message)
        heard.ended = True

    task = asyncio.create_task(listen())
    await eventually(lambda: heard.messages, "the first message")
    if heard.messages[0].all:
        await eventually(lambda: heard.alls == 2, "PostgreSQL is listened to")
    yield heard
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def create(client: LedgerServiceClient, **fields: object) -> None:
    key = pb.Key(key_hash=key_hash(1), **fields)  # type: ignore[arg-type]
    await client.create_key(pb.CreateKeyRequest(request_id="c1", key=key), timeout_s=TIMEOUT_S)


async def test_every_replica_tells_of_a_deleted_key(postgres_dsn: str, tmp_path: Path) -> None:
    """Deleted through one replica, told by all of them; and nothing else is told."""
    async with (
        running_ledger(postgres_dsn, tmp_path) as one,
        running_ledger(postgres_dsn, tmp_path) as other,
        listening(LedgerServiceClient(one)) as here,
        listening(LedgerServiceClient(other)) as there,
    ):
        client = LedgerServiceClient(one)
        await create(client)
        await client.delete_keys(
            pb.DeleteKeysRequest(request_id="d1", key_hashes=[key_hash(1)]), timeout_s=TIMEOUT_S
        )
        await eventually(lambda: KEY_ACCOUNT in here.ids & there.ids, "both replicas tell")
        assert {KEY_ACCOUNT} == here.ids | there.ids


async def test_a_replica_that_remembers_a_key_does_not_let_it_in(postgres_dsn: str, tmp_path: Path) -> None:
    """Deleted through one replica, refused by the other on the next call: no notice is needed for that."""
    async with (
        running_ledger(postgres_dsn, tmp_path) as one,
        running_ledger(postgres_dsn, tmp_path) as other,
    ):
        client, remembers = LedgerServiceClient(one), LedgerServiceClient(other)
        await create(client)
        caller = pb.Principal(kind=pb.Principal.KIND_VIRTUAL_KEY, key_hash=key_hash(1))

        async def reserve(request_id: str) -> "pb.Decision.ValueType":
            request = pb.ReserveSpendRequest(request_id=request_id, principal=caller, model="paid")
            return (await remembers.reserve_spend(request, timeout_s=TIMEOUT_S)).decision

        assert pb.DECISION_GRANTED == await reserve("r1")
        await client.delete_keys(
            pb.DeleteKeysRequest(request_id="d1", key_hashes=[key_hash(1)]), timeout_s=TIMEOUT_S
        )
        assert pb.DECISION_DENIED == await reserve("r2")


async def test_rules_are_told_and_money_is_not(postgres_dsn: str, tmp_path: Path) -> None:
    """A team that is blocked is told; a balance that moves is not."""
    async with (
        running_ledger(postgres_dsn, tmp_path) as channel,
        listening(LedgerServiceClient(channel)) as heard,
    ):
        connection = await asyncpg.connect(postgres_dsn)
        await connection.execute("INSERT INTO ledger.accounts (account_id, kind) VALUES ('team:a', 'team')")
        await connection.execute("INSERT INTO ledger.accounts (account_id, kind) VALUES ('team:b', 'team')")
        await connection.execute("UPDATE ledger.accounts SET pending_nanos = 1 WHERE account_id = 'team:a'")
        await connection.execute("UPDATE ledger.accounts SET blocked = true WHERE account_id = 'team:b'")
        await connection.close()
        await eventually(lambda: heard.ids, "something is told")
        assert {"team:b"} == heard.ids


async def test_after_a_lost_connection_everything_may_have_changed(
    own_postgres_server: DatabaseServer, tmp_path: Path
) -> None:
    """Notices that were lost are made up for by `all`; the listener stays, and hears the next one."""
    dsn = own_postgres_server.new_database()
    async with running_ledger(dsn, tmp_path) as channel, listening(LedgerServiceClient(channel)) as heard:
        before = heard.alls
        own_postgres_server.crash()
        own_postgres_server.start()
        await eventually(lambda: heard.alls > before, "all")
        client = LedgerServiceClient(channel)
        await eventually(lambda: _tried(create(client)), "PostgreSQL is back")
        await client.delete_keys(
            pb.DeleteKeysRequest(request_id="d1", key_hashes=[key_hash(1)]), timeout_s=TIMEOUT_S
        )
        await eventually(lambda: KEY_ACCOUNT in heard.ids, "the next notice")
        assert not heard.ended


async def _tried(work: Awaitable[None]) -> bool:
    try:
        await work
    except MeshError:
        return False
    return True


async def test_a_replica_that_ends_ends_the_streams_of_its_listeners(postgres_dsn: str) -> None:
    """In order, so that the server need not wait for them and they go to another replica."""
    watch = AccountWatch(postgres_dsn, SystemClock(), _nothing, WatchOptions())
    async with watch:
        changes = watch.follow()
        first = await anext(changes)
        assert frozenset() == first.account_ids
    assert {frozenset()} >= {each.account_ids async for each in changes}


async def _nothing() -> None:
    """Nobody keeps credentials here."""


async def test_a_slow_listener_is_told_everything_at_once() -> None:
    """What waits for one listener is bounded."""
    listener = Listener()
    for number in range(WAITING_MAX + 1):
        listener.tell(Changed(frozenset({f"key:{number}"})))
    changes = listener.changes()
    assert Changed(frozenset(), everything=True) == await anext(changes)
    listener.close()
    assert [] == [each async for each in changes]
