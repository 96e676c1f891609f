"""Whether limits are exact over several ledger replicas, under concurrency; also run by the tests.

Each run: one key, a limit, 1,000 requests of random size at the same time, each at a random replica. What
was admitted is compared with the limit to the nano-USD and to the request.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from bench.ledger.load import PROMPT_TOKENS
from bench.ledger.store import Stage, add_key, set_budget
from bench.ledger.targets import TIMEOUT_S, client_of, reserve_request, settle_request
from meshgate_chassis.config.load import load_config
from meshgate_ledger.verify import verify
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

REQUESTS = 1_000
OUTPUT_TOKENS_MAX = 2_000
LIMIT_METRICS = ("requests", "tokens", "parallel")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Replicas of one ledger and their database. `deployment_id` serves every call."""

    clients: Sequence[LedgerServiceClient]
    database: asyncpg.Connection
    dsn: str
    deployment_id: str


@dataclass(frozen=True, slots=True)
class BudgetRun:
    """In nano-USD. `committed`: posted and held when the first call was refused. `settled`: in the end,
    after the refused came again until nothing fitted."""

    seed: int
    cap: int
    committed: int
    settled: int
    refused: int
    balanced: bool

    @property
    def exact(self) -> bool:
        return self.settled <= self.cap and self.balanced


@dataclass(frozen=True, slots=True)
class LimitRun:
    """`admitted` of REQUESTS, and what the limit allows: they must be equal. Tokens: `admitted` are tokens,
    and no refused request would have fitted into what was left."""

    seed: int
    metric: str
    maximum: int
    admitted: int
    exact: bool


@asynccontextmanager
async def cluster(place: Stage, names: list[str]) -> AsyncIterator[Cluster]:
    """Clients of running ledgers."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(place.address(name))) for name in names]
        database = await asyncpg.connect(place.dsn)
        stack.push_async_callback(database.close)
        deployment = load_config(place.folder / "config.yaml", {}).deployments[0]
        yield Cluster(clients, database, place.dsn, deployment.id)


async def budget_run(on: Cluster, seed: int, number: int) -> BudgetRun:
    """Key `number` gets a budget for about half of the calls; all are settled for less than was held."""
    dice = random.Random(seed)  # noqa: S311 - a seed is a reproduction
    sizes = [dice.randint(1, OUTPUT_TOKENS_MAX) for _ in range(REQUESTS)]
    cap = sum(PROMPT_TOKENS + 10 * size for size in sizes) // 2 + dice.randint(0, 1_000)
    account_id = await add_key(on.dsn, number, cap)
    committed: list[int] = []
    pending = sizes
    refused = 0
    while pending:
        left = await _settled_round(on, number, pending, dice, committed)
        refused = refused or len(left)
        if len(left) == len(pending):
            break
        pending = left
    row = await on.database.fetchrow(
        "SELECT posted_nanos, pending_nanos FROM ledger.accounts WHERE account_id = $1", account_id
    )
    assert row["pending_nanos"] == 0, "every admitted call was settled"
    books = await verify(on.database)
    return BudgetRun(
        seed, cap, committed[0] if committed else 0, row["posted_nanos"], refused, books.balanced
    )


async def _settled_round(
    on: Cluster, number: int, sizes: Sequence[int], dice: random.Random, committed: list[int]
) -> list[int]:
    """All at once; the sizes that were refused."""
    plans = [(size, dice.choice(on.clients), dice.randint(0, size)) for size in sizes]

    async def call(size: int, ledger: LedgerServiceClient, completion: int) -> int | None:
        request_id = str(uuid.uuid4())
        answer = await ledger.reserve_spend(reserve_request(request_id, number, size), timeout_s=TIMEOUT_S)
        if answer.decision == pb.DECISION_DENIED:
            assert answer.denial.reason == pb.Denial.REASON_BUDGET_EXCEEDED, answer.denial
            committed.append(answer.denial.spend_usd_nanos)
            return size
        settlement = settle_request(request_id, number, completion, on.deployment_id)
        await ledger.settle_spend(settlement, timeout_s=TIMEOUT_S)
        return None

    answers = await asyncio.gather(*(call(*plan) for plan in plans))
    return [size for size in answers if size is not None]


async def limit_run(on: Cluster, seed: int, number: int, metric: str) -> LimitRun:
    """Key `number` gets a limit of its own; nothing is settled, so everything admitted stays."""
    dice = random.Random(seed)  # noqa: S311 - a seed is a reproduction
    sizes = [dice.randint(1, OUTPUT_TOKENS_MAX) for _ in range(REQUESTS)]
    held = [PROMPT_TOKENS + size for size in sizes]
    maximum = dice.randint(REQUESTS // 4, REQUESTS // 2) * (
        sum(held) // REQUESTS if metric == "tokens" else 1
    )
    account_id = await add_key(on.dsn, number, None)
    await set_limit(on.database, account_id, metric, "" if metric == "parallel" else "1h", maximum)
    plans = [(size, dice.choice(on.clients)) for size in sizes]

    async def call(size: int, ledger: LedgerServiceClient) -> bool:
        request = reserve_request(str(uuid.uuid4()), number, size)
        request.edge_id = "bench"
        answer = await ledger.reserve_spend(request, timeout_s=TIMEOUT_S)
        return answer.decision == pb.DECISION_GRANTED

    if metric == "parallel":
        await on.clients[0].renew_lease(pb.RenewLeaseRequest(edge_id="bench"), timeout_s=TIMEOUT_S)
    granted = await asyncio.gather(*(call(*plan) for plan in plans))
    if metric != "tokens":
        admitted = sum(granted)
        return LimitRun(seed, metric, maximum, admitted, admitted == maximum)
    admitted = sum(size for size, yes in zip(held, granted, strict=True) if yes)
    smallest_refused = min((size for size, yes in zip(held, granted, strict=True) if not yes), default=None)
    fits = smallest_refused is None or admitted + smallest_refused > maximum
    return LimitRun(seed, metric, maximum, admitted, admitted <= maximum and fits)


async def set_limit(
    connection: asyncpg.Connection, account_id: str, metric: str, period: str, maximum: int
) -> None:
    """One row of ledger.limits, as an endpoint would make it."""
    await connection.execute(
        "INSERT INTO ledger.limits (account_id, metric, period, maximum) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (account_id, metric, period) DO UPDATE SET maximum = excluded.maximum",
        account_id,
        metric,
        period,
        maximum,
    )


__all__ = [
    "BudgetRun",
    "Cluster",
    "LimitRun",
    "budget_run",
    "cluster",
    "limit_run",
    "set_budget",
    "set_limit",
]
