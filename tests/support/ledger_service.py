"""The ledger as a service over real gRPC, in the test's own event loop; several may share a database."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import GatewayConfig, LedgerConfig
from meshgate_chassis.rpc import Identity, MeshChannel
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_ledger.app import ledger_service
from meshgate_ledger.settings import LedgerSettings
from tests.unit.ledger.subject import DEPLOYMENTS

SECRET = b"a secret of the mesh, for tests"
_numbers = itertools.count(1)


def runtime_of(service: str) -> Runtime:
    """What the chassis would hand to the service."""
    registry = CollectorRegistry()
    return Runtime(
        service=service,
        config=GatewayConfig(deployments=DEPLOYMENTS, ledger=LedgerConfig(hold_duration_s=60)),
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity(service, SECRET),
    )


@contextlib.asynccontextmanager
async def running_ledger(dsn: str, folder: Path, **settings: object) -> AsyncIterator[MeshChannel]:
    """Serves while it is open; the edge's channel to it."""
    listen = f"unix:{folder}/ledger-{next(_numbers)}"
    chosen = LedgerSettings(
        listen=listen,
        MESHGATE_MESH_SECRET=SECRET.decode(),
        MESHGATE_DRAIN_GRACE_S=5.0,
        DATABASE_URL=dsn,
        **settings,
    )
    async with ledger_service(chosen, runtime_of("ledger")):
        channel = runtime_of("edge").channel("ledger", listen)
        try:
            yield channel
        finally:
            await channel.close()
