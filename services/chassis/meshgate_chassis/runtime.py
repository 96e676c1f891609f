"""What the chassis hands to a service's composition root."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.rpc.identity import Identity, TlsFiles
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.server import Server, ServerOptions
from meshgate_chassis.rpc.transport import DEFAULT_TRANSPORT, MeshChannel, Transport, connect
from meshgate_chassis.settings import ServiceSettings
from meshgate_chassis.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Runtime:
    """The shared parts of one process, already built."""

    service: str
    config: GatewayConfig
    clock: Clock
    telemetry: Telemetry
    registry: CollectorRegistry
    rpc_metrics: RpcMetrics
    identity: Identity
    rpc_transport: Transport = DEFAULT_TRANSPORT

    def server(self, settings: ServiceSettings, allowed_callers: frozenset[str]) -> Server:
        """The service's gRPC server; add servicers, then enter it."""
        return Server(
            ServerOptions(
                listen=settings.listen,
                identity=self.identity,
                allowed_callers=allowed_callers,
                plaintext_allowed=settings.plaintext_allowed,
                drain_delay_s=settings.drain_delay_s,
                drain_grace_s=settings.drain_grace_s,
            ),
            self.telemetry,
            self.rpc_metrics,
            self.rpc_transport,
        )

    def channel(self, callee: str, target: str, *, plaintext_allowed: bool = False) -> MeshChannel:
        """A channel to another service of the mesh."""
        return connect(
            target,
            callee=callee,
            identity=self.identity,
            telemetry=self.telemetry,
            plaintext_allowed=plaintext_allowed,
            transport=self.rpc_transport,
        )


def identity_of(service: str, settings: ServiceSettings) -> Identity:
    """The service's identity from its settings."""
    tls = None
    if settings.tls_certificate_file and settings.tls_key_file and settings.tls_ca_file:
        tls = TlsFiles(settings.tls_certificate_file, settings.tls_key_file, settings.tls_ca_file)
    return Identity(service, settings.secret_bytes(), tls)
