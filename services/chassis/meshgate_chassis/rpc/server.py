"""A server of gRPC, on either transport: what it serves, and how it comes and goes."""

import asyncio
from typing import Self

import structlog

from meshgate_chassis.rpc.identity import require_private
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.serving import ServerCall, ServerOptions, ServerTransport, Servicer, address_of
from meshgate_chassis.rpc.transport import DEFAULT_TRANSPORT, Transport
from meshgate_chassis.telemetry import Telemetry

__all__ = ["Server", "ServerCall", "ServerOptions", "Servicer", "address_of"]

log = structlog.get_logger("meshgate.rpc")


class Server:
    """A gRPC server with health and reflection; an async context manager that serves while it is open."""

    def __init__(
        self,
        settings: ServerOptions,
        telemetry: Telemetry,
        metrics: RpcMetrics,
        transport: Transport = DEFAULT_TRANSPORT,
    ) -> None:
        require_private(settings.listen, settings.identity.tls, plaintext_allowed=settings.plaintext_allowed)
        self._settings = settings
        self._transport = _carried_by(transport, settings, telemetry, metrics)
        self._names: list[str] = []

    def add(self, servicer: Servicer) -> None:
        """Serves it to the allowed callers of the mesh."""
        self._transport.add(servicer, public=False)
        self._names.append(servicer.service.name)

    def add_public(self, servicer: Servicer) -> None:
        """Serves it to everyone; the servicer authenticates its callers itself."""
        self._transport.add(servicer, public=True)
        self._names.append(servicer.service.name)

    async def __aenter__(self) -> Self:
        await self._transport.listen(self._names)
        await self.set_serving(True)
        log.info("serving", service=self._settings.identity.name, listen=self._settings.listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.set_serving(False)
        await asyncio.sleep(self._settings.drain_delay_s)
        await self._transport.stop(self._settings.drain_grace_s)

    async def set_serving(self, serving: bool) -> None:
        """What grpc.health.v1 answers for the server as a whole and for each of its services."""
        await self._transport.set_serving(("", *self._names), serving=serving)


def _carried_by(
    transport: Transport, settings: ServerOptions, telemetry: Telemetry, metrics: RpcMetrics
) -> ServerTransport:
    """Imported here: a process needs one of them, and grpcio takes its time and its memory."""
    if transport == "grpcio":
        from meshgate_chassis.rpc.on_grpcio.server import GrpcioServer

        return GrpcioServer(settings, telemetry, metrics)
    from meshgate_chassis.rpc.native.server import NativeServer

    return NativeServer(settings, telemetry, metrics)
