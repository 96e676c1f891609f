"""A whole router behind real gRPC, for tests of what it tells over its contract."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.rpc import Identity, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient
from meshgate_router.app import router_service
from meshgate_router.settings import RouterSettings

MESH_SECRET = "a secret of the mesh, for tests"
DEADLINE_S = 60.0


@contextlib.asynccontextmanager
async def served_router(
    config: GatewayConfig, folder: Path, name: str = "router"
) -> AsyncIterator[RouterServiceClient]:
    """A client of it, as the edge is one."""
    target = f"unix:{folder}/{name}"
    settings = RouterSettings(listen=target, drain_grace_s=1.0, MESHGATE_MESH_SECRET=MESH_SECRET)
    registry = CollectorRegistry()
    runtime = Runtime(
        service="router",
        config=config,
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity("router", MESH_SECRET.encode()),
    )
    async with router_service(settings, runtime):
        identity = Identity("edge", MESH_SECRET.encode())
        channel = connect(target, callee="router", identity=identity, telemetry=Telemetry(None))
        with deadline_scope(DEADLINE_S):
            yield RouterServiceClient(channel)
        await channel.close()
