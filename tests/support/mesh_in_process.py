"""All five services in one event loop: real servicers, real gRPC over Unix sockets, real PostgreSQL.

Starts in a fraction of a second, so that a test can have a mesh of its own.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from meshgate_cache.app import cache_service
from meshgate_cache.settings import CacheSettings
from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config import load_config
from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.rpc import Identity
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_compression.app import compression_service
from meshgate_compression.settings import CompressionSettings
from meshgate_edge.app import edge_service
from meshgate_edge.settings import EdgeSettings
from meshgate_ledger.app import ledger_service
from meshgate_ledger.settings import LedgerSettings
from meshgate_router.app import router_service
from meshgate_router.settings import RouterSettings
from tests.support.running_mesh import free_port

SECRET = "the secret of the mesh in process"
MASTER_KEY = "sk-in-process-master"


@dataclass(frozen=True, slots=True)
class InProcessMesh:
    """`url` has no path; `gateway` is the gRPC target of gateway/v1."""

    url: str
    gateway: str
    master_key: str
    database_url: str


@contextlib.asynccontextmanager
async def mesh_in_process(
    config_text: str, folder: Path, database_url: str, master_key: str = MASTER_KEY, credentials_key: str = ""
) -> AsyncIterator[InProcessMesh]:
    """Serves while it is open. `config_text` is a config.yaml."""
    path = folder / "config.yaml"
    path.write_text(config_text)
    config = load_config(path, {"LITELLM_MASTER_KEY": master_key} if master_key else {})
    sockets = {name: f"unix:{folder}/{name}" for name in ("ledger", "cache", "compression", "router", "edge")}
    common = {"MESHGATE_MESH_SECRET": SECRET, "MESHGATE_DRAIN_GRACE_S": 5.0}
    if credentials_key:
        common["MESHGATE_CREDENTIALS_KEY"] = credentials_key
    port = free_port()
    addresses = {f"MESHGATE_{name.upper()}_ADDRESS": target for name, target in sockets.items()}
    edge = EdgeSettings(
        listen=sockets["edge"],
        MESHGATE_EDGE_HOST="127.0.0.1",
        MESHGATE_EDGE_PORT=port,
        spool_dir=folder / "spool",
        lookup_timeout_s=1.0,  # all services share one loop here: on a busy machine 50 ms are over soon
        **addresses,
        **common,
    )
    ledger = LedgerSettings(listen=sockets["ledger"], DATABASE_URL=database_url, **common)
    compression = CompressionSettings(listen=sockets["compression"], **common)
    async with contextlib.AsyncExitStack() as stack:
        for root, settings, name in (
            (ledger_service, ledger, "ledger"),
            (cache_service, CacheSettings(listen=sockets["cache"], **common), "cache"),
            (compression_service, compression, "compression"),
            (router_service, RouterSettings(listen=sockets["router"], **common), "router"),
            (edge_service, edge, "edge"),
        ):
            await stack.enter_async_context(root(settings, _runtime(name, config)))
        yield InProcessMesh(f"http://127.0.0.1:{port}", sockets["edge"], master_key, database_url)


def _runtime(service: str, config: GatewayConfig) -> Runtime:
    registry = CollectorRegistry()
    return Runtime(
        service=service,
        config=config,
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity(service, SECRET.encode()),
    )
