"""The ledger's composition root: everything is built here, and nowhere else."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from meshgate_chassis.config.model import ConfiguredLimit
from meshgate_chassis.config.names import PublicNames, grouped
from meshgate_chassis.runtime import Runtime
from meshgate_ledger.account_memory import AccountMemory
from meshgate_ledger.account_servicer import account_servicer
from meshgate_ledger.admission import AdmissionPolicy
from meshgate_ledger.credential_servicer import CredentialServicer
from meshgate_ledger.credentials import CredentialBook, CredentialStore
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.entities.belonging import configured_defaults
from meshgate_ledger.entities.changes import Changes
from meshgate_ledger.group_commit import GroupLimits
from meshgate_ledger.health import HealthWatch
from meshgate_ledger.judgement import Judge, Memories
from meshgate_ledger.key_memory import KeyMemory
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.ledger import Ledger, LedgerParts
from meshgate_ledger.limits import LimitSpec, Metric
from meshgate_ledger.metrics import LedgerMetrics
from meshgate_ledger.migrate import migrate
from meshgate_ledger.output_quantile import OutputQuantile
from meshgate_ledger.postgres_store import PostgresStore, StoreOptions
from meshgate_ledger.price_book import PriceBook
from meshgate_ledger.price_library import PriceLibrary
from meshgate_ledger.record_store import AccountDefaults, RecordStore
from meshgate_ledger.reports.partitions import PartitionKeeper, PartitionOptions
from meshgate_ledger.reports.reader import ReportLimits, ReportReader
from meshgate_ledger.reports.servicer import ReportParts, ReportServicer
from meshgate_ledger.servicer import LedgerServicer
from meshgate_ledger.settings import LedgerSettings, database_dsn
from meshgate_ledger.sweeper import Sweeper, SweepOptions
from meshgate_ledger.told_prices import ToldPrices
from meshgate_ledger.watch import AccountWatch, WatchOptions

ALLOWED_CALLERS = frozenset({"edge"})


@dataclass(frozen=True, slots=True)
class LedgerCore:
    """The ledger without its transport."""

    database: Database
    ledger: Ledger
    keys: KeyStore
    policy: AdmissionPolicy


@asynccontextmanager
async def ledger_service(settings: LedgerSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open. Waits for PostgreSQL first, and brings its schema up to date."""
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(ledger_core(settings, runtime))
        credentials = CredentialStore(core.database, runtime.clock)
        book = CredentialBook(credentials)
        dsn = database_dsn(settings, runtime.config.database_url)
        watch = AccountWatch(dsn, runtime.clock, book.load, WatchOptions())
        await core.database.insist(book.load)
        server = runtime.server(settings, ALLOWED_CALLERS)
        prices = ToldPrices(core.policy.prices, runtime.clock)
        server.add(LedgerServicer(core.ledger, core.keys, watch, book, prices))
        server.add(account_servicer(core.database, core.keys, runtime.clock))
        server.add(CredentialServicer(credentials))
        server.add(await stack.enter_async_context(_reports(settings, runtime, core)))
        await stack.enter_async_context(server)
        await stack.enter_async_context(watch)  # ends first: the server waits for the streams of listeners
        await stack.enter_async_context(
            HealthWatch(core.database, server.set_serving, settings.health_interval_s, runtime.clock)
        )
        yield


@asynccontextmanager
async def ledger_core(settings: LedgerSettings, runtime: Runtime) -> AsyncIterator[LedgerCore]:
    """Everything but the server; the benchmark measures it alone."""
    metrics = LedgerMetrics(runtime.registry)
    clock = runtime.clock
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_database(settings, runtime, metrics))
        await database.await_ready()
        await database.insist(lambda: database.use(migrate, limit_s=settings.start_timeout_s))
        store = PostgresStore(database, _store_options(settings, runtime), clock, metrics)
        stack.push_async_callback(store.drain, settings.drain_grace_s)
        changes = Changes(database, clock, runtime.config.ledger.limits.time_zone)
        defaults = configured_defaults(runtime.config.entity_defaults)
        keys = KeyStore(database, clock, changes=changes, defaults=defaults)
        policy = _policy(runtime)
        records = RecordStore(database, _defaults(runtime), clock)
        await database.insist(lambda: records.configure(settings.start_timeout_s))
        memories = Memories(
            KeyMemory(settings.keys_remembered_max),
            AccountMemory(settings.accounts_remembered_max),
            OutputQuantile(),
        )
        hold_duration_s = runtime.config.ledger.hold_duration_s
        ledger = Ledger(
            LedgerParts(
                store=store,
                keys=keys,
                judge=Judge(policy, memories, records, hold_duration_s, clock),
                outputs=memories.outputs,
                policy=policy,
                hold_duration_s=hold_duration_s,
                lease_s=settings.lease_s,
                clock=clock,
                metrics=metrics,
            )
        )
        sweep_options = SweepOptions(
            settings.sweep_interval_s, hold_memory_s=settings.hold_memory_s, lease_s=settings.lease_s
        )
        await stack.enter_async_context(Sweeper(store, sweep_options, clock, metrics))
        yield LedgerCore(database, ledger, keys, policy)


@asynccontextmanager
async def _reports(
    settings: LedgerSettings, runtime: Runtime, core: LedgerCore
) -> AsyncIterator[ReportServicer]:
    """Reports, and the care for partitions: on connections of their own, so that no call waits for them."""
    limits = ReportLimits(query_s=settings.report_timeout_s, at_once_max=settings.report_connections_max)
    options = DatabaseOptions(
        connections_max=settings.report_connections_max + 1, connect_timeout_s=settings.connect_timeout_s
    )
    dsn = database_dsn(settings, runtime.config.database_url)
    partitions = PartitionOptions(runtime.config.ledger.entries_kept_s, settings.partition_interval_s)
    async with (
        Database(dsn, options, runtime.clock) as database,
        PartitionKeeper(database, partitions, runtime.clock),
    ):
        reader = ReportReader(database, limits)
        yield ReportServicer(ReportParts(reader, core.database, core.policy.prices, runtime.clock))


def _database(settings: LedgerSettings, runtime: Runtime, metrics: LedgerMetrics) -> Database:
    options = DatabaseOptions(
        connections_max=settings.connections_max,
        connect_timeout_s=settings.connect_timeout_s,
        use_timeout_s=settings.use_timeout_s,
        start_timeout_s=settings.start_timeout_s,
    )
    dsn = database_dsn(settings, runtime.config.database_url)
    return Database(dsn, options, runtime.clock, metrics.store_state)


def _store_options(settings: LedgerSettings, runtime: Runtime) -> StoreOptions:
    limits = GroupLimits(
        items_max=settings.batch_items_max,
        queue_items_max=settings.queue_items_max,
        batches_max=settings.batches_max,
    )
    time_zone = runtime.config.ledger.limits.time_zone
    return StoreOptions(limits, durable_holds=settings.durable_holds, timezone=time_zone)


def _defaults(runtime: Runtime) -> AccountDefaults:
    limits = runtime.config.ledger.limits
    kinds = {"user": limits.user, "customer": limits.customer}
    return AccountDefaults(
        {kind: _specs(configured) for kind, configured in kinds.items()},
        _specs(limits.gateway),
        limits.time_zone,
        {tag: _specs(configured) for tag, configured in limits.tags.items()},
        limits.customer_budget_id,
    )


def _specs(limits: Sequence[ConfiguredLimit]) -> tuple[LimitSpec, ...]:
    return tuple(
        LimitSpec(cast("Metric", limit.metric), limit.period, limit.maximum, limit.soft_maximum)
        for limit in limits
    )


def _policy(runtime: Runtime) -> AdmissionPolicy:
    config = runtime.config
    names = PublicNames(grouped(config.deployments), config.router.model_group_alias)
    return AdmissionPolicy(
        names=names,
        prices=PriceBook(names, tuple(config.deployments), PriceLibrary()),
        default_output_tokens=config.ledger.default_output_tokens,
        require_pricing=config.ledger.require_pricing,
        blocked=config.ledger.blocked,
    )
