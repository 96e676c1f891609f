"""The edge's composition root: everything is built here, and nowhere else.

Start: channels, watch, gRPC gateway, HTTP. Stop, in reverse: HTTP and gRPC finish their calls, then the
settlements and stores under way are awaited, then the channels close.
"""

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import APIRouter
from rs_bpe.bpe import openai as vocabularies

from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import MeshChannel
from meshgate_chassis.rpc.identity import is_loopback
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.sealing import sealer_of
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.account_memory import AccountMemory, MemoryLimits
from meshgate_edge.account_watch import AccountFollower
from meshgate_edge.accounts import Accounts
from meshgate_edge.admission import Admission
from meshgate_edge.authentication import Authenticator
from meshgate_edge.cache_step import CacheParts, CacheStep
from meshgate_edge.call import CallInfo
from meshgate_edge.call_log import CallLog
from meshgate_edge.call_rules import CallRules
from meshgate_edge.catalog_step import Catalog
from meshgate_edge.circuit import Circuit
from meshgate_edge.clients import HopLimits, MeshClients
from meshgate_edge.compression_metrics import CompressionMetrics
from meshgate_edge.compression_step import CompressionStep
from meshgate_edge.deployment_metrics import register_deployment_metrics
from meshgate_edge.early_lookup import TenantMemory
from meshgate_edge.embedding_step import EmbeddingStep
from meshgate_edge.embeddings_pipeline import EmbeddingsPipeline, EmbeddingSteps
from meshgate_edge.entity_rules import EntityRules
from meshgate_edge.fallbacks import Fallbacks
from meshgate_edge.flight import Flights
from meshgate_edge.gateway_servicer import GatewayServicer
from meshgate_edge.http_activity import ActivityEndpoints
from meshgate_edge.http_admin import ManagementEndpoints
from meshgate_edge.http_app import HttpParts, build_http_app
from meshgate_edge.http_body import BodyLimits
from meshgate_edge.http_budget_state import BudgetStateEndpoint
from meshgate_edge.http_cache import CacheEndpoints
from meshgate_edge.http_call_endpoint import CallEndpoint, CallParts
from meshgate_edge.http_chat import ChatHandler
from meshgate_edge.http_completions import TextShape
from meshgate_edge.http_credentials import CredentialEndpoints, CredentialParts
from meshgate_edge.http_embeddings import EmbeddingsHandler
from meshgate_edge.http_global_spend import GlobalSpendEndpoints
from meshgate_edge.http_health import CacheStatus, HealthEndpoint, HealthParts
from meshgate_edge.http_models import ModelsEndpoint
from meshgate_edge.http_router_state import RouterProbe, RouterWatch
from meshgate_edge.http_server import HttpServerOptions, serve_http
from meshgate_edge.http_shapes import ChatShape
from meshgate_edge.http_spend import SpendEndpoints
from meshgate_edge.key_rules import KeyRules
from meshgate_edge.lease import Lease
from meshgate_edge.limit_metrics import LimitMetrics
from meshgate_edge.local_flight import LocalFlights, observe_local_flights
from meshgate_edge.management import Management, ManagementParts
from meshgate_edge.meaning_step import MeaningParts, MeaningRules, MeaningStep
from meshgate_edge.metrics import CallMetrics
from meshgate_edge.metrics_mesh import register_mesh_gauges
from meshgate_edge.observer import CallObserver
from meshgate_edge.offline import Outage, OutageRules
from meshgate_edge.pipeline import Pipeline, Steps
from meshgate_edge.readiness import MeshWatch
from meshgate_edge.report_access import ReportAccess, ReportParts
from meshgate_edge.reservations import ReservationLimits, Reservations
from meshgate_edge.settings import EdgeSettings
from meshgate_edge.settlement import Settlement, SettlementLimits
from meshgate_edge.soft_budgets import SoftBudgets
from meshgate_edge.spool import Spool, SpoolLimits
from meshgate_edge.spool_replay import SpoolReplay
from meshgate_edge.store_batch import StoreBatch
from meshgate_edge.tokens import TokenCounter, families_of_groups
from meshgate_edge.top_up import TopUps
from meshgate_protos.cache.v1 import cache_service_pb2 as cache_pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient
from meshgate_protos.ledger.v1.account_service_mesh import AccountServiceClient
from meshgate_protos.ledger.v1.credential_service_mesh import CredentialServiceClient
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.ledger.v1.report_service_mesh import ReportServiceClient
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient

NOBODY: frozenset[str] = frozenset()  # no service calls the edge; its clients show keys
REQUEST_TASKS_MAX = 20_000
EMBEDDING_TASKS_MAX = 512  # questions whose vectors are under way, and those that are learned later
POSTINGS_WAIT_S = 2.0  # what a report waits for answers whose posting is under way

log = structlog.get_logger("meshgate.edge")


class _Observers:
    """Several observers as one."""

    def __init__(self, *observers: CallObserver) -> None:
        self._observers = observers

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        for observer in self._observers:
            observer.finished(info, error)


class _Edge:
    """What the two rims share, built once."""

    def __init__(
        self, settings: EdgeSettings, runtime: Runtime, clients: MeshClients, offline: "_Offline"
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
        compression_metrics = CompressionMetrics(
            runtime.registry, [each.model_group for each in config.deployments]
        )
        limit_metrics = LimitMetrics(runtime.registry)
        soft_budgets = SoftBudgets(runtime.registry, runtime.clock)
        self.observer = _Observers(self.metrics, compression_metrics, limit_metrics, soft_budgets, CallLog())
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
        embedding_cache = EmbeddingStep(clients.cache, config.cache, limits, self.stores, circuit)
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
        self.pipeline = Pipeline(steps, accounts, runtime.clock)
        self.catalog = Catalog(clients, limits)

    def _cache_step(self, settings: EdgeSettings, runtime: Runtime, limits: HopLimits) -> CacheStep:
        cache = self.clients.cache
        batch = StoreBatch(cache, self.stores, timeout_s=limits.store_s, waiting_max=settings.stores_max)
        circuit = Circuit("cache", runtime.clock)
        gateway = self.authenticator.gateway
        meaning = MeaningParts(cache, self.embeddings, self.meanings, runtime.clock, gateway, _new_id)
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
        )
        return CacheStep(parts, runtime.config.cache, limits.lookup_s)


@asynccontextmanager
async def edge_service(settings: EdgeSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open."""
    async with AsyncExitStack() as stack:
        channels = _channels(settings, runtime)
        for channel in channels.values():
            stack.push_async_callback(channel.close)
        offline = await _offline(settings, runtime, stack)
        edge = _Edge(settings, runtime, _clients(channels), offline)
        if edge.authenticator.open:
            log.warning("no master key: everyone who can connect may call", host=edge.host)
        stack.push_async_callback(edge.settlement.drain, settings.drain_grace_s)
        stack.push_async_callback(edge.stores.drain, 1.0)
        stack.push_async_callback(edge.meanings.drain, 0.0)
        stack.push_async_callback(edge.top_ups.drain, 0.0)
        stack.push_async_callback(edge.reservations.drain, 0.0)
        stack.push_async_callback(edge.lease.release)
        watch = MeshWatch(channels)
        background = TaskOwner("watch", 6)
        background.start(watch.run(), "mesh")
        deployments = RouterWatch(edge.clients.router)
        background.start(deployments.run(), "deployments")
        if offline.spool is not None:
            replay = SpoolReplay(offline.spool, edge.clients.ledger, runtime.clock, runtime.registry)
            background.start(replay.run(), "spool")
        if runtime.config.ledger.allow_without_ledger:
            follower = AccountFollower(edge.clients.ledger, offline.memory, runtime.clock)
            background.start(follower.run(), "accounts")
        background.start(edge.lease.keep(), "lease")
        if runtime.config.cache.enabled and runtime.config.cache.single_flight:
            background.start(edge.flights.keep(), "flights")
        stack.push_async_callback(background.drain, 0.0)
        server = runtime.server(settings, NOBODY)
        server.add_public(_gateway(edge, runtime))
        await stack.enter_async_context(server)
        options = HttpServerOptions(edge.host, settings.port, settings.drain_grace_s)
        app = build_http_app(_http_parts(edge, settings, runtime, watch, deployments))
        address = await stack.enter_async_context(serve_http(app, options, runtime.clock))
        log.info("serving HTTP", host=address.host, port=address.port)
        yield


@dataclass(frozen=True, slots=True)
class _Offline:
    """What calls need while the ledger is away. `spool` None: nothing is kept on disk."""

    outage: Outage
    memory: AccountMemory
    spool: Spool | None


async def _offline(settings: EdgeSettings, runtime: Runtime, stack: AsyncExitStack) -> _Offline:
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
    return _Offline(Outage(rules, memory, Circuit("ledger", clock), clock, spool), memory, spool)


def _channels(settings: EdgeSettings, runtime: Runtime) -> dict[str, MeshChannel]:
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


def _clients(channels: dict[str, MeshChannel]) -> MeshClients:
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


def _gateway(edge: _Edge, runtime: Runtime) -> GatewayServicer:
    return GatewayServicer(
        edge.pipeline, edge.catalog, edge.authenticator, _new_id, runtime.config.request_bytes_max
    )


def _http_parts(
    edge: _Edge, settings: EdgeSettings, runtime: Runtime, watch: MeshWatch, deployments: RouterWatch
) -> HttpParts:
    release, access = version("meshgate-edge"), runtime.config.access
    register_mesh_gauges(runtime.registry, watch)
    register_deployment_metrics(runtime.registry, deployments.state)
    calls = CallParts(
        authenticator=edge.authenticator,
        observer=edge.observer,
        in_flight=edge.metrics.in_flight,
        tasks=edge.requests,
        new_call_id=_new_id,
        version=release,
        body_limits=BodyLimits(
            size_bytes_max=runtime.config.request_bytes_max, json_type_required=edge.authenticator.open
        ),
        rules=CallRules(user_required=access.user_required, required=access.required_params),
        request_timeout_s=settings.request_timeout_s,
    )
    management = ManagementParts(
        edge.clients.ledger,
        edge.clients.accounts,
        edge.authenticator,
        runtime.clock,
        secrets.token_bytes,
        _new_id,
        KeyRules(runtime.config.entity_defaults.key, runtime.config.entity_defaults.key_upper_bounds),
        EntityRules(runtime.config.entity_defaults.user, runtime.config.entity_defaults.team),
    )
    sealer = sealer_of(settings.credentials_key, secrets.token_bytes)
    credentials = CredentialParts(edge.clients.credentials, Management(management).admin, sealer, _new_id)
    return HttpParts(
        chat=CallEndpoint(calls, ChatHandler(edge.pipeline, ChatShape(), calls)),
        completions=CallEndpoint(calls, ChatHandler(edge.pipeline, TextShape(), calls)),
        embeddings=CallEndpoint(calls, EmbeddingsHandler(edge.embeddings, calls)),
        models=ModelsEndpoint(edge.catalog, edge.authenticator),
        health=HealthEndpoint(_health_parts(edge, runtime, watch, deployments)),
        management=ManagementEndpoints(management),
        cache=CacheEndpoints(edge.clients.cache, edge.authenticator),
        credentials=CredentialEndpoints(credentials),
        reports=_report_routers(edge, runtime),
        registry=runtime.registry,
        config=runtime.config,
        telemetry=runtime.telemetry,
        version=release,
        caught_up=partial(edge.settlement.caught_up, POSTINGS_WAIT_S),
        metrics_guard=Management(management).known if access.metrics_need_key else None,
    )


def _health_parts(edge: _Edge, runtime: Runtime, watch: MeshWatch, deployments: RouterWatch) -> HealthParts:
    async def ping_cache() -> CacheStatus:
        status = await edge.clients.cache.get_status(cache_pb.GetStatusRequest(), timeout_s=1.0)
        return CacheStatus(
            enabled=status.enabled,
            backend=status.backend,
            reachable=status.reachable,
            hit_count=status.hit_count,
            miss_count=status.miss_count,
        )

    return HealthParts(
        readiness=watch,
        config=runtime.config,
        clock=runtime.clock,
        version=version("meshgate-edge"),
        ping_cache=ping_cache,
        router=deployments.state,
        probe=RouterProbe(edge.clients.router),
        authenticator=edge.authenticator,
    )


def _report_routers(edge: _Edge, runtime: Runtime) -> tuple[APIRouter, ...]:
    clients = edge.clients
    parts = ReportParts(
        clients.reports, clients.ledger, edge.authenticator, edge.counter, runtime.clock, _new_id
    )
    access = ReportAccess(parts)
    endpoints = (
        SpendEndpoints(access),
        GlobalSpendEndpoints(access),
        ActivityEndpoints(access),
        BudgetStateEndpoint(access),
    )
    return tuple(each.router() for each in endpoints)


def _new_id() -> str:
    return str(uuid.uuid4())
