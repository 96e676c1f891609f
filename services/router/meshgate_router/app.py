"""The router's composition root: everything is built here, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import structlog

from meshgate_chassis.runtime import Runtime
from meshgate_router.attempt import AttemptLoop, RoutingParts
from meshgate_router.breaker import Breaker
from meshgate_router.call_watch import CallWatch
from meshgate_router.catalog import Catalog
from meshgate_router.metrics import RouterMetrics
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.providers.registry import providers
from meshgate_router.selection import Selector
from meshgate_router.servicer import RouterServicer
from meshgate_router.settings import RouterSettings
from meshgate_router.timing import TimeoutRules
from meshgate_router.transport import Transport, TransportLimits

ALLOWED_CALLERS = frozenset({"edge"})

log = structlog.get_logger("meshgate.router")


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
    metrics, random = RouterMetrics(runtime.registry), Random()  # noqa: S311 - spreads load, keeps no secret
    breaker = Breaker(config.router, runtime.clock)
    loop = AttemptLoop(
        RoutingParts(
            catalog=catalog,
            selector=Selector(breaker, CallWatch(breaker, metrics, runtime.clock), random),
            config=config.router,
            timeouts=TimeoutRules(
                connect_s=settings.connect_timeout_s, between_reads_s=settings.between_reads_timeout_s
            ),
            clock=runtime.clock,
            random=random,
            metrics=metrics,
        )
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        server = runtime.server(settings, ALLOWED_CALLERS)
        server.add(RouterServicer(catalog, loop, caller, runtime.clock))
        log.info("router", models=len(catalog.public_models()), deployments=len(config.deployments))
        await stack.enter_async_context(server)
        yield
