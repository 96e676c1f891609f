"""The router's composition root: everything is built here, and nowhere else."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.sealing import sealer_of
from meshgate_chassis.tasks import TaskOwner
from meshgate_router.answers import Answers
from meshgate_router.attempt import AttemptLoop, RoutingParts
from meshgate_router.breaker import Breaker
from meshgate_router.call_watch import CallWatch, WatchParts
from meshgate_router.catalog import Catalog
from meshgate_router.deployment_limits import Limits, LocalLimits
from meshgate_router.deployment_state import DeploymentStates
from meshgate_router.embeddings import Embeddings
from meshgate_router.hedge import TASKS_MAX, Hedger
from meshgate_router.metrics import RouterMetrics
from meshgate_router.prices import Prices, price_library
from meshgate_router.probe import ProbeParts, Prober
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.providers.registry import providers
from meshgate_router.retry_budget import RetryBudget
from meshgate_router.selection import Selector, SelectorParts
from meshgate_router.servicer import RouterServicer, ServicerParts
from meshgate_router.settings import RouterSettings
from meshgate_router.state_report import StateReport
from meshgate_router.strategies.registry import needs_prices
from meshgate_router.stream import Streams
from meshgate_router.timing import TimeoutRules
from meshgate_router.transport import Transport, TransportLimits

if TYPE_CHECKING:  # brings the Redis client, which a router that is alone does not need
    from meshgate_router.redis_link import RedisLink
    from meshgate_router.shared_breaker import SharedBreaker

SHARING_TASKS_MAX: Final = 2_000
SHARING_DRAIN_S: Final = 2.0  # for what the other replicas are still to be told
ALLOWED_CALLERS = frozenset({"edge"})

log = structlog.get_logger("meshgate.router")


@dataclass(frozen=True, slots=True)
class RoutingBase:
    """What a test has of its own."""

    clock: Clock
    random: Random
    registry: CollectorRegistry


@dataclass(frozen=True, slots=True)
class Sharing:
    """The way to the other replicas."""

    link: "RedisLink"
    tasks: TaskOwner


@dataclass(frozen=True, slots=True)
class Routing:
    """What chooses deployments, and what it knows of them. `replicas`: None: this process is alone."""

    loop: AttemptLoop
    selector: Selector
    breaker: Breaker
    states: DeploymentStates
    local_limits: LocalLimits
    replicas: "SharedBreaker | None"


def build_routing(
    catalog: Catalog, config: RouterConfig, timeouts: TimeoutRules, base: RoutingBase, sharing: Sharing | None
) -> Routing:
    """For one process."""
    clock, random, metrics = base.clock, base.random, RouterMetrics(base.registry)
    states, breaker, local = DeploymentStates(config, clock), Breaker(config, clock), LocalLimits(clock)
    limits: Limits = local
    replicas = None
    if sharing is not None:
        from meshgate_router.shared_breaker import SharedBreaker
        from meshgate_router.shared_limits import SharedLimits

        limits = SharedLimits(sharing.link, local, sharing.tasks)
        replicas = breaker.replicas = SharedBreaker(breaker, sharing.link, sharing.tasks, clock)
    prices = Prices(price_library() if needs_prices(config) else None)
    watch = CallWatch(WatchParts(breaker, states, limits, metrics, clock))
    selector = Selector(SelectorParts(config, breaker, states, limits, prices, clock, random), watch)
    parts = RoutingParts(
        catalog=catalog,
        selector=selector,
        config=config,
        timeouts=timeouts,
        clock=clock,
        random=random,
        metrics=metrics,
        retry_budget=RetryBudget(clock),
    )
    return Routing(AttemptLoop(parts), selector, breaker, states, local, replicas)


async def _sharing(config: RouterConfig, clock: Clock, stack: AsyncExitStack) -> Sharing | None:
    if config.redis_url is None:
        return None
    from meshgate_router.redis_link import RedisLink, shared_redis

    client = shared_redis(config.redis_url, config.redis_nodes)
    stack.push_async_callback(client.aclose)
    tasks = TaskOwner("shared routing", SHARING_TASKS_MAX)
    stack.push_async_callback(tasks.drain, SHARING_DRAIN_S)
    return Sharing(RedisLink(client, clock), tasks)


async def _watch_replicas(replicas: "SharedBreaker", stack: AsyncExitStack) -> None:
    await replicas.read()
    watch = TaskOwner("other replicas", 1)
    stack.push_async_callback(watch.drain, 0.0)
    watch.start(replicas.run(), "cooldowns")


@asynccontextmanager
async def router_service(settings: RouterSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open."""
    config = runtime.config
    table = providers()
    catalog = Catalog(config.deployments, config.router, table)
    for deployment in catalog.unusable:
        log.warning("provider not supported", model=deployment.model_group, provider=deployment.provider)
    transport = Transport(
        TransportLimits(
            connections_max=settings.connections_max,
            idle_s=settings.idle_connection_s,
            response_bytes_max=settings.response_bytes_max,
        )
    )
    caller = ProviderCaller(table, transport, runtime.telemetry, runtime.clock)
    timeouts = TimeoutRules(
        connect_s=settings.connect_timeout_s, between_reads_s=settings.between_reads_timeout_s
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        sharing = await _sharing(config.router, runtime.clock, stack)
        base = RoutingBase(runtime.clock, Random(), runtime.registry)  # noqa: S311 - keeps no secret
        routing = build_routing(catalog, config.router, timeouts, base, sharing)
        if routing.replicas is not None:
            await _watch_replicas(routing.replicas, stack)
        loop, hedges = routing.loop, TaskOwner("hedges", TASKS_MAX)
        stack.push_async_callback(hedges.drain, 0.0)
        hedger = Hedger(config.router.hedging, loop, hedges, runtime.clock)
        streams = Streams(loop, caller, hedger, recovers=config.router.mid_stream_recovery)
        server = runtime.server(settings, ALLOWED_CALLERS)
        probes = ProbeParts(
            catalog, config.deployments, routing.selector, caller, config.router, timeouts, runtime.clock
        )
        parts = ServicerParts(
            catalog=catalog,
            answers=Answers(loop, caller, hedger),
            embeddings=Embeddings(loop, caller),
            streams=streams,
            caller=caller,
            report=StateReport(
                config.deployments, routing.breaker, routing.states, routing.local_limits, runtime.clock
            ),
            prober=Prober(probes),
            shared=lambda: sharing is not None and not sharing.link.away,
            replica=uuid.uuid4().hex,
            clock=runtime.clock,
            sealer=sealer_of(settings.credentials_key, token_bytes),
        )
        server.add(RouterServicer(parts))
        log.info("router", models=len(catalog.public_models()), deployments=len(config.deployments))
        await stack.enter_async_context(server)
        yield
