"""A ledger under test: its own parts on a real database, at a time of its own."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from meshgate_chassis.config.model import Deployment, DeploymentPrice
from meshgate_chassis.config.names import PublicNames, grouped
from meshgate_ledger.account_memory import AccountMemory
from meshgate_ledger.account_store import read_accounts, read_limits, set_limits, upsert_account
from meshgate_ledger.admission import AdmissionPolicy
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.judgement import Judge, Memories
from meshgate_ledger.key_memory import KeyMemory
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.ledger import Ledger, LedgerParts
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.output_quantile import OutputQuantile
from meshgate_ledger.postgres_store import PostgresStore, StoreOptions
from meshgate_ledger.price import TokenCounts
from meshgate_ledger.price_book import PriceBook
from meshgate_ledger.price_library import PriceLibrary
from meshgate_ledger.record_store import AccountDefaults, RecordStore
from meshgate_ledger.records import (
    Denial,
    Grant,
    KeyRecord,
    Outcome,
    Posting,
    Principal,
    PrincipalKind,
    ReserveCommand,
    SettleCommand,
    utc,
)
from meshgate_ledger.sweeper import Sweeper, SweepOptions
from meshgate_ledger.verify import Verification, verify
from tests.support.clock import ManualClock

TIMEOUT_S = 20.0
MASTER = Principal(PrincipalKind.MASTER, "f" * 64)
OPEN = Principal(PrincipalKind.OPEN)
LIBRARY = PriceLibrary()
DEFAULT_OUTPUT_TOKENS = 100


def deployment(
    model_group: str,
    *,
    provider: str = "openai",
    upstream_model: str = "m",
    price: DeploymentPrice | None = None,
    model_info: Mapping[str, object] | None = None,
    number: int = 1,
) -> Deployment:
    """One entry of model_list."""
    return Deployment(
        id=f"{model_group}-{number}",
        model_group=model_group,
        provider=provider,
        upstream_model=upstream_model,
        api_base=None,
        api_key=None,
        request_defaults={},
        extra_headers={},
        timeout_s=None,
        stream_timeout_s=None,
        rpm=None,
        tpm=None,
        weight=None,
        price=price,
        drop_params=False,
        mode="chat",
        model_info=model_info or {},
    )


# One nano-USD per prompt token, and ten per completion token: sums can be done in the head.
PRICE = DeploymentPrice(input_nanos_per_mtok=1_000_000, output_nanos_per_mtok=10_000_000)
DEPLOYMENTS = (
    deployment("paid", price=PRICE),
    deployment("free", provider="ollama"),
    deployment("unpriced", upstream_model="nobody-knows-me"),
)


def policy(
    deployments: tuple[Deployment, ...] = DEPLOYMENTS, *, require_pricing: bool | None = None
) -> AdmissionPolicy:
    names = PublicNames(grouped(deployments), {})
    return AdmissionPolicy(
        names, PriceBook(names, deployments, LIBRARY), DEFAULT_OUTPUT_TOKENS, require_pricing
    )


def key_hash(number: int) -> str:
    return f"{number:064x}"


def principal(number: int) -> Principal:
    """The holder of key `number`."""
    return Principal(PrincipalKind.VIRTUAL_KEY, key_hash(number))


@dataclass
class LedgerSubject:
    """One replica, and shortcuts for what tests do with it."""

    ledger: Ledger
    keys: KeyStore
    store: PostgresStore
    sweeper: Sweeper
    clock: ManualClock
    database: Database
    registry: CollectorRegistry

    async def add_key(self, number: int = 1, budget: int | None = None, **rules: object) -> Principal:
        """Makes a key; `budget` in nano-USD."""
        record = KeyRecord(key_hash(number), max_budget_nanos=budget, **rules)  # type: ignore[arg-type]
        await self.keys.create(uuid4().hex, record, TIMEOUT_S)
        return principal(number)

    async def reserve(
        self, request_id: str, caller: Principal, output_tokens: int | None = 10, **more: Any
    ) -> Grant | Denial:
        """Asks to call "paid" with a prompt of 100 tokens, unless told otherwise."""
        options: dict[str, Any] = {"model": "paid", "prompt_tokens": 100} | more
        command = ReserveCommand(request_id, caller, max_output_tokens=output_tokens, **options)
        return (await self.ledger.reserve(command, TIMEOUT_S)).verdict

    async def settle(self, request_id: str, prompt: int = 100, completion: int = 10, **more: Any) -> Posting:
        """Says that "paid" served it, unless told otherwise."""
        options: dict[str, Any] = {
            "outcome": Outcome.SUCCESS,
            "tokens": TokenCounts(prompt, completion),
            "deployment_id": "paid-1",
            "provider": "openai",
            "upstream_model": "m",
            "model_group": "paid",
        } | more
        return await self.ledger.settle(SettleCommand(request_id, **options), TIMEOUT_S)

    async def limit(self, account_id: str, *limits: LimitSpec, **rules: object) -> None:
        """Gives an account these limits and rules; makes it when there is none."""

        async def work(connection: asyncpg.Connection) -> None:
            async with connection.transaction():
                await upsert_account(connection, account_id, **rules)  # type: ignore[arg-type]
                await set_limits(connection, account_id, limits, utc(self.clock.now_ns()))

        await self.database.use(work)

    async def uses(self, account_id: str) -> dict[tuple[str, str], int]:
        """What is used now of each of the account's limits; spend: without what is held."""
        found = await self.all_uses([account_id])
        return {name[1:]: used for name, used in found.items()}

    async def all_uses(self, account_ids: Collection[str]) -> dict[tuple[str, str, str], int]:
        """As `uses`, by account as well."""
        found = await self.database.use(
            lambda connection: read_limits(connection, account_ids, utc(self.clock.now_ns()))
        )
        return {
            (account_id, use.spec.metric, use.spec.period): use.used
            for account_id, uses in found.items()
            for use in uses
        }

    async def account(self, account_id: str) -> tuple[int, int, int]:
        """Posted, held and calls that have a slot."""
        return (await self.all_accounts([account_id]))[account_id]

    async def all_accounts(self, account_ids: Collection[str]) -> dict[str, tuple[int, int, int]]:
        """As `account`, of those that exist."""
        found = await self.database.use(lambda connection: read_accounts(connection, account_ids))
        return {
            account_id: (state.posted_nanos, state.pending_nanos, state.open_calls)
            for account_id, state in found.items()
        }

    async def void(self, request_id: str) -> None:
        await self.ledger.void(request_id, "SERVICE_UNREACHABLE", TIMEOUT_S)

    async def money(self, number: int = 1) -> tuple[int, int]:
        """Posted and held of key `number`."""
        state = await self.keys.get(key_hash(number), TIMEOUT_S)
        assert state is not None
        return state.posted_nanos, state.held_nanos


@asynccontextmanager
async def open_ledger(
    dsn: str,
    clock: ManualClock | None = None,
    rules: AdmissionPolicy | None = None,
    store_options: StoreOptions | None = None,
    database_options: DatabaseOptions | None = None,
    keys_remembered_max: int = 100,
    defaults: AccountDefaults | None = None,
) -> AsyncIterator[LedgerSubject]:
    """One replica of the ledger; the sweeper sweeps only when it is told to."""
    clock = clock or ManualClock()
    registry = CollectorRegistry()
    metrics = LedgerMetrics(registry)
    async with Database(dsn, database_options or DatabaseOptions(), clock, metrics.store_state) as database:
        store = PostgresStore(database, store_options or StoreOptions(), clock, metrics)
        keys = KeyStore(database, clock)
        records = RecordStore(database, defaults or AccountDefaults(), clock)
        memories = Memories(KeyMemory(keys_remembered_max), AccountMemory(1_000), OutputQuantile())
        chosen = rules or policy()
        ledger = Ledger(
            LedgerParts(
                store=store,
                keys=keys,
                judge=Judge(chosen, memories, records, 900.0, clock),
                outputs=memories.outputs,
                policy=chosen,
                hold_duration_s=900.0,
                lease_s=6.0,
                clock=clock,
                metrics=metrics,
            )
        )
        sweeper = Sweeper(store, SweepOptions(), clock, metrics)
        yield LedgerSubject(ledger, keys, store, sweeper, clock, database, registry)
        await store.drain(TIMEOUT_S)


async def books(dsn: str) -> Verification:
    """The result of `verify`."""
    connection = await asyncpg.connect(dsn)
    try:
        return await verify(connection)
    finally:
        await connection.close()


async def entries(dsn: str, request_id: str) -> list[asyncpg.Record]:
    """The entries of a request, in their order."""
    connection = await asyncpg.connect(dsn)
    try:
        query = "SELECT * FROM ledger.entries WHERE request_id = $1 ORDER BY entry_id"
        return list(await connection.fetch(query, request_id))
    finally:
        await connection.close()
