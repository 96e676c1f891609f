"""The transport, behind the interfaces of `meshgate_protos.rpc`. Only this package knows grpcio."""

from meshgate_chassis.rpc.channel import MeshChannel, check_health, connect
from meshgate_chassis.rpc.identity import Identity, TlsFiles
from meshgate_chassis.rpc.server import Server, ServerOptions

__all__ = [
    "Identity",
    "MeshChannel",
    "Server",
    "ServerOptions",
    "TlsFiles",
    "check_health",
    "connect",
]
