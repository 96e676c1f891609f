"""The edge's composition root, its inner part: what carries out calls, below HTTP and gRPC."""

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rs_bpe.bpe import openai as vocabularies

from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import MeshChannel
from meshgate_chassis.rpc.identity import is_loopback
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.early_lookup import TenantMemory
from meshgate_edge.cache.embedding_step import EmbeddingStep
from meshgate_edge.cache.flight import Flights
from meshgate_edge.cache.local_flight import LocalFlights, observe_local_flights
from meshgate_edge.cache.meaning_step import MeaningParts, MeaningRules, MeaningStep
from meshgate_edge.cache.step import CacheParts, CacheStep
from meshgate_edge.cache.store_batch import StoreBatch
from meshgate_edge.cache.variant import Variants
from meshgate_edge.call_log import CallLog
from meshgate_edge.catalog_step import Catalog
from meshgate_edge.circuit import Circuit
from meshgate_edge.clients import HopLimits, MeshClients
from meshgate_edge.compression.metrics import CompressionMetrics
from meshgate_edge.compression.step import CompressionStep
from meshgate_edge.embeddings_pipeline import EmbeddingsPipeline, EmbeddingSteps
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.metrics.edge import CallMetrics
from meshgate_edge.metrics.limits import LimitMetrics
from meshgate_edge.money.account_memory import AccountMemory, MemoryLimits
from meshgate_edge.money.accounts import Accounts
from meshgate_edge.money.admission import Admission
from meshgate_edge.money.fallbacks import Fallbacks
from meshgate_edge.money.lease import Lease
from meshgate_edge.money.offline import Outage, OutageRules
from meshgate_edge.money.reservations import ReservationLimits, Reservations
from meshgate_edge.money.settlement import Settlement, SettlementLimits
from meshgate_edge.money.soft_budgets import SoftBudgets
from meshgate_edge.money.spool import Spool, SpoolLimits
from meshgate_edge.money.top_up import TopUps
from meshgate_edge.observer import BehindTheAnswer, CallObserver
from meshgate_edge.pipeline import Pipeline, Steps
from meshgate_edge.settings import EdgeSettings
from meshgate_edge.tokens.counter import TokenCounter, families_of_groups
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient
from meshgate_protos.ledger.v1.account_service_mesh import AccountServiceClient
from meshgate_protos.ledger.v1.credential_service_mesh import CredentialServiceClient
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.ledger.v1.report_service_mesh import ReportServiceClient
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient

REQUEST_TASKS_MAX = 20_000
EMBEDDING_TASKS_MAX = 512  # questions whose vectors are under way, and those that are learned later


@dataclass(frozen=True, slots=True)
class Offline:
    """What calls need while the ledger is away. `spool` None: nothing is kept on disk."""

    outage: Outage
    memory: AccountMemory
    spool: Spool | None


class EdgeCore:
    """What the two rims share, built once."""

    def __init__(
        self, settings: EdgeSettings, runtime: Runtime, clients: MeshClients, offline: Offline
    ) -> None:
        config, limits = runtime.config, HopLimits(lookup_s=settings.lookup_timeout_s)
        master_key = None if config.master_key is None else config.master_key.value
        self.clients = clients
        self.host = settings.bind_host(has_master_key=bool(master_key))
        self.authenticator = Authenticator(
            master_key,
            open_management=is_loopback(f"{self.host}:0"),
            key_header=config.access.key_header,
        )
        self.metrics = CallMetrics(
            runtime.registry, [each.model_group for each in config.deployments], runtime.clock
        )
        self.observer = BehindTheAnswer(self.metrics, *_observers(runtime), CallLog())
        self.stores = TaskOwner("stores", settings.stores_max)
        self.flights = Flights(clients.cache, config.cache, self.stores, runtime.clock)
        self.requests = TaskOwner("requests", REQUEST_TASKS_MAX)
        self.top_ups = TaskOwner("top-ups", REQUEST_TASKS_MAX)
        self.settlement = Settlement(
            clients.ledger,
            runtime.clock,
            SettlementLimits(limits.settle_s, settings.settlements_max),
            offline.spool,
        )
        self.counter = counter = _counter(config)
        accounts = Accounts(self.settlement, counter, self.observer, runtime.clock)
        self.reservations = Reservations(clients.ledger, ReservationLimits())
        edge_id = uuid.uuid4().hex
        self.lease = Lease(clients.ledger, edge_id, runtime.clock)
        admission = Admission(self.reservations, limits.reserve_s, offline.outage, edge_id)
        top_ups = TopUps(
            clients.ledger,
            self.top_ups,
            runtime.clock,
            limits.reserve_s,
            allow_without_ledger=config.ledger.allow_without_ledger,
        )
        fallbacks = Fallbacks(top_ups, counter)
        circuit = Circuit("cache for embeddings", runtime.clock)
        variants = Variants.of(config)
        embedding_cache = EmbeddingStep(clients.cache, config.cache, limits, self.stores, circuit, variants)
        self.embeddings = EmbeddingsPipeline(
            EmbeddingSteps(admission, embedding_cache, clients.router, fallbacks), accounts, runtime.clock
        )
        self.meanings = TaskOwner("meanings", EMBEDDING_TASKS_MAX)
        steps = Steps(
            admission=admission,
            cache=self._cache_step(settings, runtime, limits),
            compression=CompressionStep(
                clients.compression, config.compression, limits.compress_s, runtime.clock
            ),
            router=clients.router,
            top_ups=top_ups,
            fallbacks=fallbacks,
        )
        self.pipeline = Pipeline(steps, accounts, runtime.clock, hedges=config.router.hedging.enabled)
        self.catalog = Catalog(clients, limits)

    def _cache_step(self, settings: EdgeSettings, runtime: Runtime, limits: HopLimits) -> CacheStep:
        cache = self.clients.cache
        batch = StoreBatch(cache, self.stores, timeout_s=limits.store_s, waiting_max=settings.stores_max)
        circuit = Circuit("cache", runtime.clock)
        gateway = self.authenticator.gateway
        meaning = MeaningParts(
            cache, self.embeddings, self.meanings, runtime.clock, gateway, new_id, runtime.registry
        )
        rules = MeaningRules(wait_s=settings.embedding_timeout_s, lookup_s=limits.lookup_s)
        local = LocalFlights()
        observe_local_flights(local, runtime.registry)
        parts = CacheParts(
            cache,
            circuit,
            self.flights,
            batch,
            self.requests,
            TenantMemory(),
            MeaningStep(meaning, rules),
            local,
            Variants.of(runtime.config),
        )
        return CacheStep(parts, runtime.config.cache, limits.lookup_s)


def _observers(runtime: Runtime) -> tuple[CallObserver, ...]:
    """Those that nobody else needs."""
    registry, groups = runtime.registry, [each.model_group for each in runtime.config.deployments]
    return (
        CompressionMetrics(registry, groups),
        LimitMetrics(registry),
        SoftBudgets(registry, runtime.clock),
    )


async def offline_of(settings: EdgeSettings, runtime: Runtime, stack: AsyncExitStack) -> Offline:
    config, clock, spool = runtime.config.ledger, runtime.clock, None
    if settings.spool_dir is not None:
        limits = SpoolLimits(settings.spool_bytes_max)
        spool = await stack.enter_async_context(Spool(settings.spool_dir, limits))
    elif config.allow_without_ledger:
        message = "allow_requests_on_db_unavailable needs a folder that lasts: set MESHGATE_EDGE_SPOOL_DIR"
        raise MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", message)
    remembered = MemoryLimits(settings.callers_remembered_max, settings.callers_remembered_s)
    memory = AccountMemory(remembered, clock)
    rules = OutageRules(config.allow_without_ledger, config.default_output_tokens, config.blocked)
    return Offline(Outage(rules, memory, Circuit("ledger", clock), clock, spool), memory, spool)


def channels_of(settings: EdgeSettings, runtime: Runtime) -> dict[str, MeshChannel]:
    targets = {
        "ledger": settings.ledger_address,
        "cache": settings.cache_address,
        "compression": settings.compression_address,
        "router": settings.router_address,
    }
    return {
        name: runtime.channel(name, target, plaintext_allowed=settings.plaintext_allowed)
        for name, target in targets.items()
    }


def clients_of(channels: dict[str, MeshChannel]) -> MeshClients:
    return MeshClients(
        ledger=LedgerServiceClient(channels["ledger"]),
        reports=ReportServiceClient(channels["ledger"]),
        accounts=AccountServiceClient(channels["ledger"]),
        cache=CacheServiceClient(channels["cache"]),
        compression=CompressionServiceClient(channels["compression"]),
        router=RouterServiceClient(channels["router"]),
        credentials=CredentialServiceClient(channels["ledger"]),
    )


def _counter(config: GatewayConfig) -> TokenCounter:
    groups = families_of_groups(config.deployments)
    # 30 MB that only the oldest of OpenAI's models need.
    has_cl100k = any(family.vocabulary == "cl100k" for family in groups.values())
    cl100k = vocabularies.cl100k_base() if has_cl100k else None
    return TokenCounter(vocabularies.o200k_base(), cl100k, groups)


def new_id() -> str:
    return str(uuid.uuid4())
