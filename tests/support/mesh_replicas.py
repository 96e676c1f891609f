"""A mesh in process with several edges and caches, as behind a load balancer: everything else once.

Each edge speaks to a cache of its own, so that what one stores is found by another only through Redis.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from meshgate_cache.app import cache_service
from meshgate_cache.settings import CacheSettings
from meshgate_chassis.config import load_config
from meshgate_compression.app import compression_service
from meshgate_compression.settings import CompressionSettings
from meshgate_edge.app import edge_service
from meshgate_edge.settings import EdgeSettings
from meshgate_ledger.app import ledger_service
from meshgate_ledger.settings import LedgerSettings
from meshgate_router.app import router_service
from meshgate_router.settings import RouterSettings
from tests.support.mesh_in_process import MASTER_KEY, SECRET, InProcessMesh, _runtime
from tests.support.running_mesh import free_port


@dataclass(frozen=True, slots=True)
class Replicas:
    """One mesh for each edge, and the metrics of each cache and each edge."""

    meshes: list[InProcessMesh]
    caches: list[CollectorRegistry]
    edges: list[CollectorRegistry]

    @property
    def waiting_count(self) -> float:
        """Calls that wait for the answer of another."""
        at_caches = sum(each.get_sample_value("meshgate_cache_waiting") or 0.0 for each in self.caches)
        return at_caches + sum(each.get_sample_value("meshgate_edge_waiting") or 0.0 for each in self.edges)

    def asked(self, method: str) -> float:
        """How many calls of a method of the cache there were."""
        labels = {"grpc_service": "meshgate_protos.cache.v1.CacheService", "grpc_method": method}
        return sum(
            sample.value
            for registry in self.caches
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "grpc_server_handled_total" and labels.items() <= sample.labels.items()
        )


@contextlib.asynccontextmanager
async def mesh_replicas(
    config_text: str, folder: Path, database_url: str, count: int = 2
) -> AsyncIterator[Replicas]:
    """The edges."""
    path = folder / "config.yaml"
    path.write_text(config_text)
    config = load_config(path, {"LITELLM_MASTER_KEY": MASTER_KEY})
    sockets = {name: f"unix:{folder}/{name}" for name in ("ledger", "compression", "router")}
    common = {"MESHGATE_MESH_SECRET": SECRET, "MESHGATE_DRAIN_GRACE_S": 5.0}
    addresses = {f"MESHGATE_{name.upper()}_ADDRESS": target for name, target in sockets.items()}
    meshes: list[InProcessMesh] = []
    caches: list[CollectorRegistry] = []
    edges: list[CollectorRegistry] = []
    async with contextlib.AsyncExitStack() as stack:
        for root, settings, name in (
            (
                ledger_service,
                LedgerSettings(listen=sockets["ledger"], DATABASE_URL=database_url, **common),
                "ledger",
            ),
            (
                compression_service,
                CompressionSettings(listen=sockets["compression"], **common),
                "compression",
            ),
            (router_service, RouterSettings(listen=sockets["router"], **common), "router"),
        ):
            await stack.enter_async_context(root(settings, _runtime(name, config)))
        for number in range(count):
            cache = CacheSettings(listen=f"unix:{folder}/cache{number}", lookup_timeout_s=1.0, **common)
            runtime = _runtime("cache", config)
            caches.append(runtime.registry)
            await stack.enter_async_context(cache_service(cache, runtime))
            port = free_port()
            edge = EdgeSettings(
                listen=f"unix:{folder}/edge{number}",
                MESHGATE_EDGE_HOST="127.0.0.1",
                MESHGATE_EDGE_PORT=port,
                MESHGATE_CACHE_ADDRESS=cache.listen,
                lookup_timeout_s=1.0,  # all in one event loop, and many calls at the same time
                embedding_timeout_s=2.0,
                spool_dir=folder / f"spool{number}",
                **addresses,
                **common,
            )
            runtime = _runtime("edge", config)
            edges.append(runtime.registry)
            await stack.enter_async_context(edge_service(edge, runtime))
            meshes.append(InProcessMesh(f"http://127.0.0.1:{port}", edge.listen, MASTER_KEY, database_url))
        yield Replicas(meshes, caches, edges)
