"""The whole service over real gRPC, built by its own composition root."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import GatewayConfig, LedgerConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import Identity
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_ledger.app import ledger_service
from meshgate_ledger.settings import LedgerSettings
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.eventually import eventually
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.subject import DEPLOYMENTS, books, entries, key_hash

SECRET = b"a secret of the mesh, for tests"
TIMEOUT_S = 20.0
CALLER = pb.Principal(kind=pb.Principal.KIND_VIRTUAL_KEY, key_hash=key_hash(1))
MASTER = pb.Principal(kind=pb.Principal.KIND_MASTER, key_hash="f" * 64)

Start = Callable[..., Awaitable[LedgerServiceClient]]


@pytest.fixture
async def start_ledger(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Start]:
    """Starts ledgers; several may share a database."""
    async with AsyncExitStack() as stack:

        def runtime(service: str) -> Runtime:
            registry = CollectorRegistry()
            return Runtime(
                service=service,
                config=GatewayConfig(deployments=DEPLOYMENTS, ledger=LedgerConfig(hold_duration_s=60)),
                clock=SystemClock(),
                telemetry=Telemetry(None),
                registry=registry,
                rpc_metrics=RpcMetrics(registry),
                identity=Identity(service, SECRET),
            )

        async def start(dsn: str, **settings: object) -> LedgerServiceClient:
            folder: Path = tmp_path_factory.mktemp("l")
            chosen = LedgerSettings(
                listen=f"unix:{folder}/s",
                MESHGATE_MESH_SECRET=SECRET.decode(),
                MESHGATE_DRAIN_GRACE_S=1.0,
                DATABASE_URL=dsn,
                **settings,
            )
            await stack.enter_async_context(ledger_service(chosen, runtime("ledger")))
            channel = runtime("edge").channel("ledger", f"unix:{folder}/s")
            stack.push_async_callback(channel.close)
            return LedgerServiceClient(channel)

        yield start


async def reserve(client: LedgerServiceClient, request_id: str, **fields: Any) -> pb.ReserveSpendResponse:
    options: dict[str, Any] = {"principal": CALLER, "model": "paid", "prompt_tokens": 100} | fields
    request = pb.ReserveSpendRequest(request_id=request_id, max_output_tokens=10, **options)
    return await client.reserve_spend(request, timeout_s=TIMEOUT_S)


async def settle(client: LedgerServiceClient, request_id: str) -> pb.SettleSpendResponse:
    request = pb.SettleSpendRequest(
        request_id=request_id,
        outcome=pb.OUTCOME_SUCCESS,
        deployment_id="paid-1",
        tokens=pb.TokenCounts(prompt_tokens=90, completion_tokens=5),
    )
    return await client.settle_spend(request, timeout_s=TIMEOUT_S)


async def create(client: LedgerServiceClient, **fields: object) -> pb.Key:
    key = pb.Key(key_hash=key_hash(1), **fields)  # type: ignore[arg-type]
    request = pb.CreateKeyRequest(request_id="c1", key=key)
    return (await client.create_key(request, timeout_s=TIMEOUT_S)).key


async def test_a_call_from_key_to_entry(start_ledger: Start, postgres_server: DatabaseServer) -> None:
    """On an empty database: the service brings its own schema."""
    dsn = postgres_server.new_database(migrated=False)
    client = await start_ledger(dsn)
    key = await create(client, key_alias="a", team_id="t", max_budget_usd_nanos=1_000)
    granted = await reserve(client, "r1")
    posted = await settle(client, "r1")
    shown = await client.get_key(pb.GetKeyRequest(key_hash=key.key_hash), timeout_s=TIMEOUT_S)

    assert (pb.DECISION_GRANTED, 200, "paid") == (
        granted.decision,
        granted.held_usd_nanos,
        granted.resolved_model,
    )
    assert ("team:t", "a", 1_000) == (
        granted.account.tenant_id,
        granted.account.key_alias,
        granted.account.max_budget_usd_nanos,
    )
    assert (140, 90, 50, 140) == (
        posted.charged_usd_nanos,
        posted.breakdown.input_usd_nanos,
        posted.breakdown.output_usd_nanos,
        posted.key_spend_usd_nanos,
    )
    assert (140, 0) == (shown.key.spend_usd_nanos, shown.key.held_usd_nanos)
    assert (await books(dsn)).balanced


async def test_a_denial_is_a_value(start_ledger: Start, postgres_dsn: str) -> None:
    """With what the edge needs to say."""
    client = await start_ledger(postgres_dsn)
    await create(client, max_budget_usd_nanos=199)
    denied = await reserve(client, "r1")

    assert pb.DECISION_DENIED == denied.decision
    assert pb.Denial.REASON_BUDGET_EXCEEDED == denied.denial.reason
    assert (0, 199) == (denied.denial.spend_usd_nanos, denied.denial.max_budget_usd_nanos)
    assert not denied.HasField("account")


async def test_void_authenticate_and_delete(start_ledger: Start, postgres_dsn: str) -> None:
    """The rest of the contract."""
    client = await start_ledger(postgres_dsn)
    await create(client, key_alias="a")
    await reserve(client, "r1")
    await client.void_spend(pb.VoidSpendRequest(request_id="r1", reason="X"), timeout_s=TIMEOUT_S)
    known = await client.authenticate_key(pb.AuthenticateKeyRequest(principal=CALLER), timeout_s=TIMEOUT_S)
    master = await client.authenticate_key(pb.AuthenticateKeyRequest(principal=MASTER), timeout_s=TIMEOUT_S)
    deleted = await client.delete_keys(
        pb.DeleteKeysRequest(request_id="d1", key_aliases=["a"]), timeout_s=TIMEOUT_S
    )
    gone = await client.authenticate_key(pb.AuthenticateKeyRequest(principal=CALLER), timeout_s=TIMEOUT_S)

    assert "void" == (await entries(postgres_dsn, "r1"))[0]["kind"]
    assert (pb.DECISION_GRANTED, f"key:{key_hash(1)}") == (known.decision, known.account.tenant_id)
    assert (pb.DECISION_GRANTED, "master") == (master.decision, master.account.tenant_id)
    assert (["a"], [key_hash(1)]) == (
        list(deleted.deleted_key_aliases),
        list(deleted.deleted_key_hashes),
    )
    assert pb.Denial.REASON_KEY_UNKNOWN == gone.denial.reason
    with pytest.raises(MeshError) as caught:
        await client.get_key(pb.GetKeyRequest(key_hash=key_hash(1)), timeout_s=TIMEOUT_S)
    assert (Code.NOT_FOUND, "KEY_UNKNOWN") == (caught.value.code, caught.value.reason)


async def test_errors_arrive_whole(start_ledger: Start, postgres_dsn: str) -> None:
    """With code, reason and field."""
    client = await start_ledger(postgres_dsn)
    with pytest.raises(MeshError) as caught:
        await reserve(client, "", principal=MASTER)
    assert (Code.INVALID_ARGUMENT, ["request_id"]) == (caught.value.code, list(caught.value.fields))
    with pytest.raises(MeshError) as caught:
        await settle(client, "r1")
    assert (Code.NOT_FOUND, "HOLD_UNKNOWN") == (caught.value.code, caught.value.reason)
    many = pb.DeleteKeysRequest(request_id="d", key_hashes=["x"] * 1_001)
    with pytest.raises(MeshError) as caught:
        await client.delete_keys(many, timeout_s=TIMEOUT_S)
    assert ["key_hashes"] == list(caught.value.fields)


async def test_the_sweeper_runs_by_itself(start_ledger: Start, postgres_dsn: str) -> None:
    """A hold that nobody ends is charged within its time and a sweep."""
    client = await start_ledger(postgres_dsn, sweep_interval_s=0.05)
    request = pb.ReserveSpendRequest(request_id="r1", principal=MASTER, model="paid", prompt_tokens=7)
    request.hold_duration.seconds = 1
    await client.reserve_spend(request, timeout_s=TIMEOUT_S)

    (entry,) = await eventually(lambda: entries(postgres_dsn, "r1"), "the hold is charged")
    assert ("expiry", True) == (entry["kind"], entry["estimated"])


async def test_two_replicas_share_one_cap(start_ledger: Start, postgres_dsn: str) -> None:
    """Over gRPC, at once."""
    clients = [await start_ledger(postgres_dsn), await start_ledger(postgres_dsn)]
    await create(clients[0], max_budget_usd_nanos=2_000)
    answers = await asyncio.gather(*(reserve(clients[number % 2], f"r{number}") for number in range(40)))

    assert 10 == sum(answer.decision == pb.DECISION_GRANTED for answer in answers)
    assert 2_000 == (await books(postgres_dsn)).pending_nanos


async def test_reservations_in_one_rpc_are_each_on_their_own(start_ledger: Start, postgres_dsn: str) -> None:
    """Granted up to the cap, refused past it, in error where one is wrong: as one by one, in their order."""
    client = await start_ledger(postgres_dsn)
    await create(client, max_budget_usd_nanos=600)
    await reserve(client, "used", principal=MASTER)
    await reserve(client, "known")  # who has to be read for the first time is decided in any order
    items = [
        pb.ReserveSpendRequest(
            request_id=request_id, principal=CALLER, model=model, prompt_tokens=100, max_output_tokens=10
        )
        for request_id, model in (
            ("a", "paid"),
            ("", "paid"),
            ("used", "paid"),
            ("b", "paid"),
            ("c", "paid"),
            ("a", "paid"),
        )
    ]
    answer = await client.reserve_spends(pb.ReserveSpendsRequest(items=items), timeout_s=TIMEOUT_S)

    granted, bad, used, other, past, again = answer.results
    assert [(pb.DECISION_GRANTED, 200)] * 3 == [
        (each.decided.decision, each.decided.held_usd_nanos) for each in (granted, other, again)
    ]
    assert (False, True) == (granted.decided.repeated, again.decided.repeated)
    assert ("FIELD_INVALID", ["request_id"]) == (bad.error.reason, list(bad.error.fields))
    assert (Code.ALREADY_EXISTS.value, "REQUEST_ID_USED") == (used.error.code, used.error.reason)
    assert pb.Denial.REASON_BUDGET_EXCEEDED == past.decided.denial.reason
    assert 800 == (await books(postgres_dsn)).pending_nanos


async def test_reservations_in_one_rpc_are_bounded(start_ledger: Start, postgres_dsn: str) -> None:
    """One to 256."""
    client = await start_ledger(postgres_dsn)
    one = pb.ReserveSpendRequest(request_id="r", principal=MASTER, model="paid")
    for count in (0, 257):
        with pytest.raises(MeshError) as caught:
            request = pb.ReserveSpendsRequest(items=[one] * count)
            await client.reserve_spends(request, timeout_s=TIMEOUT_S)
        assert ["items"] == list(caught.value.fields)


async def test_closings_in_one_rpc_are_each_on_their_own(start_ledger: Start, postgres_dsn: str) -> None:
    """Settled, released, posted without a hold, already ended or wrong: as one by one, in their order."""
    client = await start_ledger(postgres_dsn)
    await create(client)
    for request_id in ("a", "b", "c"):
        await reserve(client, request_id)
    await settle(client, "c")

    def settlement(request_id: str, **fields: Any) -> pb.CloseSpend:
        tokens = pb.TokenCounts(prompt_tokens=90, completion_tokens=5)
        request = pb.SettleSpendRequest(
            request_id=request_id, outcome=pb.OUTCOME_SUCCESS, deployment_id="paid-1", tokens=tokens, **fields
        )
        return pb.CloseSpend(settle=request)

    def void(request_id: str) -> pb.CloseSpend:
        return pb.CloseSpend(void=pb.VoidSpendRequest(request_id=request_id, reason="NOT_SENT"))

    items = [
        settlement("a"),
        settlement(""),
        void("b"),
        settlement("lost", principal=CALLER, model_group="paid"),
        settlement("offline", principal=CALLER, model_group="paid", offline=True),
        settlement("unknown"),
        void("c"),
    ]
    answer = await client.close_spends(pb.CloseSpendsRequest(items=items), timeout_s=TIMEOUT_S)

    assert ["settled", "error", "voided", "settled", "settled", "error", "error"] == [
        result.WhichOneof("result") for result in answer.results
    ]
    assert [140] * 3 == [answer.results[number].settled.charged_usd_nanos for number in (0, 3, 4)]
    assert ["FIELD_INVALID", "HOLD_UNKNOWN", "ALREADY_SETTLED"] == [
        answer.results[number].error.reason for number in (1, 5, 6)
    ]
    (entry,) = await entries(postgres_dsn, "offline")
    assert entry["offline"]
    assert (await books(postgres_dsn)).balanced


async def test_start_without_postgresql_gives_up_in_time(start_ledger: Start, tmp_path: Path) -> None:
    """UNAVAILABLE/STORE_UNAVAILABLE, after the time that it may take to appear."""
    with pytest.raises(MeshError) as caught:
        await start_ledger(f"postgresql://u:p@/d?host={tmp_path}", start_timeout_s=0.0)
    assert "STORE_UNAVAILABLE" == caught.value.reason
