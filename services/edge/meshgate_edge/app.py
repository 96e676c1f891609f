"""The edge's composition root: starts and stops what app_core.py and app_rims.py build; nobody else builds.

Start: channels, watch, gRPC gateway, HTTP. Stop, in reverse: HTTP and gRPC finish their calls, then the
settlements and stores under way are awaited, then the channels close.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from meshgate_chassis.runtime import Runtime
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.app_core import EdgeCore, channels_of, clients_of, offline_of
from meshgate_edge.app_rims import gateway_of, http_parts_of
from meshgate_edge.http.app import build_http_app
from meshgate_edge.http.router_state import RouterWatch
from meshgate_edge.http.server import HttpServerOptions, serve_http
from meshgate_edge.money.account_watch import AccountFollower
from meshgate_edge.money.spool_replay import SpoolReplay
from meshgate_edge.readiness import MeshWatch
from meshgate_edge.settings import EdgeSettings

NOBODY: frozenset[str] = frozenset()  # no service calls the edge; its clients show keys

log = structlog.get_logger("meshgate.edge")


@asynccontextmanager
async def edge_service(settings: EdgeSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open."""
    async with AsyncExitStack() as stack:
        channels = channels_of(settings, runtime)
        for channel in channels.values():
            stack.push_async_callback(channel.close)
        offline = await offline_of(settings, runtime, stack)
        edge = EdgeCore(settings, runtime, clients_of(channels), offline)
        if edge.authenticator.open:
            log.warning("no master key: everyone who can connect may call", host=edge.host)
        stack.push_async_callback(edge.settlement.drain, settings.drain_grace_s)
        stack.push_async_callback(edge.stores.drain, 1.0)
        stack.push_async_callback(edge.meanings.drain, 0.0)
        stack.push_async_callback(edge.top_ups.drain, 0.0)
        stack.push_async_callback(edge.reservations.drain, 0.0)
        stack.push_async_callback(edge.lease.release)
        watch = MeshWatch(channels, edge.clients.cache)
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
        server.add_public(gateway_of(edge, runtime))
        await stack.enter_async_context(server)
        options = HttpServerOptions(edge.host, settings.port, settings.drain_grace_s)
        app = build_http_app(http_parts_of(edge, settings, runtime, watch, deployments))
        address = await stack.enter_async_context(serve_http(app, options, runtime.clock))
        log.info("serving HTTP", host=address.host, port=address.port)
        yield
