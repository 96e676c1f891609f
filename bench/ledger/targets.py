"""The two ways to a ledger that are measured: its core in this process, and gRPC to another one."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from bench.ledger.load import COMPLETION_TOKENS, MAX_OUTPUT_TOKENS, PROMPT_TOKENS, Target
from bench.ledger.store import SECRET, key_hash
from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.load import load_config
from meshgate_chassis.rpc import Identity, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.settings import load_settings
from meshgate_chassis.telemetry import Telemetry
from meshgate_edge.money.reservations import ReservationLimits, Reservations
from meshgate_edge.money.settlement import Settlement, SettlementLimits
from meshgate_ledger.app import ledger_core
from meshgate_ledger.ledger import Ledger
from meshgate_ledger.price import Cost, TokenCounts
from meshgate_ledger.records import (
    Decision,
    Denial,
    Grant,
    Outcome,
    Posting,
    Principal,
    PrincipalKind,
    ReserveCommand,
    SettleCommand,
)
from meshgate_ledger.settings import LedgerSettings
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

TIMEOUT_S = 30.0


class NoLedger:
    """Says yes at once: what is left is what the load itself takes."""

    async def reserve(self, _command: ReserveCommand, _timeout_s: float) -> Decision:
        return Decision(Grant("paid", 0, 0, None), is_repeat=False)

    async def settle(self, _command: SettleCommand, _timeout_s: float) -> Posting:
        return Posting(Cost(output=1), 1)


class CoreTarget:
    """The ledger's own methods."""

    def __init__(self, ledger: Ledger | NoLedger, deployment_id: str) -> None:
        self._ledger = ledger
        self._deployment_id = deployment_id

    async def reserve(self, request_id: str, number: int) -> None:
        command = ReserveCommand(
            request_id,
            Principal(PrincipalKind.VIRTUAL_KEY, key_hash(number)),
            "paid",
            prompt_tokens=PROMPT_TOKENS,
            max_output_tokens=MAX_OUTPUT_TOKENS,
        )
        decision = await self._ledger.reserve(command, TIMEOUT_S)
        assert not isinstance(decision.verdict, Denial), decision.verdict

    async def settle(self, request_id: str, number: int) -> None:
        now = datetime.now(UTC)
        command = SettleCommand(
            request_id,
            Outcome.SUCCESS,
            TokenCounts(PROMPT_TOKENS, COMPLETION_TOKENS),
            Principal(PrincipalKind.VIRTUAL_KEY, key_hash(number)),
            deployment_id=self._deployment_id,
            provider="openai",
            upstream_model="paid",
            model_group="paid",
            start_time=now,
            end_time=now,
        )
        posting = await self._ledger.settle(command, TIMEOUT_S)
        assert posting.cost.total > 0, posting


class EdgeTarget:
    """The contract as the edge uses it: what waits goes together, by the edge's own code."""

    def __init__(self, client: LedgerServiceClient, deployment_id: str) -> None:
        self._deployment_id = deployment_id
        self._reservations = Reservations(client, ReservationLimits())
        self._settlement = Settlement(client, SystemClock(), SettlementLimits())

    async def reserve(self, request_id: str, number: int) -> None:
        answer = await self._reservations.reserve(reserve_request(request_id, number), TIMEOUT_S)
        assert answer.decision == pb.DECISION_GRANTED, answer

    async def settle(self, request_id: str, number: int) -> None:
        request = settle_request(request_id, number, COMPLETION_TOKENS, self._deployment_id)
        posting = await self._settlement.posted(self._settlement.settle(request), TIMEOUT_S)
        assert posting is not None, request_id
        assert posting.charged_usd_nanos > 0, posting


class GrpcTarget:
    """The contract, one RPC for everything."""

    def __init__(self, client: LedgerServiceClient, deployment_id: str) -> None:
        self._client = client
        self._deployment_id = deployment_id

    async def reserve(self, request_id: str, number: int) -> None:
        answer = await self._client.reserve_spend(reserve_request(request_id, number), timeout_s=TIMEOUT_S)
        assert answer.decision == pb.DECISION_GRANTED, answer

    async def settle(self, request_id: str, number: int) -> None:
        request = settle_request(request_id, number, COMPLETION_TOKENS, self._deployment_id)
        answer = await self._client.settle_spend(request, timeout_s=TIMEOUT_S)
        assert answer.charged_usd_nanos > 0, answer


def reserve_request(
    request_id: str, number: int, max_output_tokens: int = MAX_OUTPUT_TOKENS
) -> pb.ReserveSpendRequest:
    return pb.ReserveSpendRequest(
        request_id=request_id,
        principal=_principal(number),
        model="paid",
        prompt_tokens=PROMPT_TOKENS,
        max_output_tokens=max_output_tokens,
    )


def settle_request(
    request_id: str, number: int, completion_tokens: int, deployment_id: str
) -> pb.SettleSpendRequest:
    request = pb.SettleSpendRequest(
        request_id=request_id,
        principal=_principal(number),
        outcome=pb.OUTCOME_SUCCESS,
        deployment_id=deployment_id,
        provider="openai",
        upstream_model="paid",
        model_group="paid",
        tokens=pb.TokenCounts(prompt_tokens=PROMPT_TOKENS, completion_tokens=completion_tokens),
    )
    request.start_time.GetCurrentTime()
    request.end_time.GetCurrentTime()
    return request


def _principal(number: int) -> pb.Principal:
    return pb.Principal(kind=pb.Principal.KIND_VIRTUAL_KEY, key_hash=key_hash(number))


@asynccontextmanager
async def open_target(kind: str, address: str) -> AsyncIterator[Target]:
    """`core`: with settings from the environment, as the service. `grpc`, `edge`: the ledger at `address`."""
    runtime = _runtime()
    deployment_id = runtime.config.deployments[0].id
    if kind == "grpc":
        async with client_of(address) as client:
            yield GrpcTarget(client, deployment_id)
    elif kind == "edge":
        async with client_of(address) as client:
            yield EdgeTarget(client, deployment_id)
    else:
        async with ledger_core(load_settings(LedgerSettings), runtime) as core:
            yield CoreTarget(core.ledger, deployment_id)


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[LedgerServiceClient]:
    """As the edge has it."""
    channel = connect(
        address, callee="ledger", identity=Identity("edge", SECRET.encode()), telemetry=Telemetry(None)
    )
    try:
        yield LedgerServiceClient(channel)
    finally:
        await channel.close()


def _runtime() -> Runtime:
    registry = CollectorRegistry()
    path = Path(os.environ["CONFIG_FILE_PATH"])  # noqa: TID251 - we are the service here
    return Runtime(
        service="ledger",
        config=load_config(path, {}),
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity("ledger", SECRET.encode()),
    )
