"""Which transport carries the RPC, by its name: the one place where names and transports meet.

Only the transport that is asked for is imported: grpcio costs every process that loads it a third of a second
of a core, and memory for good.
"""

import asyncio
from typing import Final, Literal, Protocol

from meshgate_chassis.rpc.callee import Callee, called_by
from meshgate_chassis.rpc.identity import Identity, TlsFiles
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import Channel

Transport = Literal["native", "grpcio"]
DEFAULT_TRANSPORT: Final[Transport] = "native"


class MeshChannel(Channel, Protocol):
    """A channel to one service, on any transport. Connects when it is first used. Close it with `close`."""

    async def serving(self, timeout_s: float) -> bool:
        """True when the service says of itself, over grpc.health.v1, that it is serving."""

    async def close(self) -> None:
        """Ends the connections; calls under way are cancelled."""


def connect(
    target: str,
    *,
    callee: str,
    identity: Identity,
    telemetry: Telemetry,
    plaintext_allowed: bool = False,
    transport: Transport = DEFAULT_TRANSPORT,
) -> MeshChannel:
    """A channel to the service `callee` at `target` ("host:port", "dns:///name:port" or "unix:/path").

    Needs a running event loop. Raises FAILED_PRECONDITION/TLS_REQUIRED, and ADDRESS_INVALID for a target that
    says nothing.
    """
    called = called_by(identity, callee, target, plaintext_allowed=plaintext_allowed)
    return _channel(called, telemetry, transport)


async def check_health(
    target: str,
    *,
    tls: TlsFiles | None,
    server_name: str,
    timeout_s: float,
    transport: Transport = DEFAULT_TRANSPORT,
) -> bool:
    """Asks grpc.health.v1 at `target` once, as a probe does: no identity needed unless TLS is on."""
    probe = _channel(Callee(server_name, target, tls), None, transport)
    try:
        async with asyncio.timeout(timeout_s):
            return await probe.serving(timeout_s)
    except TimeoutError:
        return False
    finally:
        await probe.close()


def _channel(callee: Callee, telemetry: Telemetry | None, transport: Transport) -> MeshChannel:
    if transport == "native":
        from meshgate_chassis.rpc.native.channel import open_channel

        return open_channel(callee, telemetry)
    from meshgate_chassis.rpc.on_grpcio.channel import GrpcioChannel

    return GrpcioChannel(callee, telemetry)
