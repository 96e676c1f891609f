"""RPC, behind the interfaces of `meshgate_protos.rpc`: on a transport of our own or on grpcio."""

from meshgate_chassis.rpc.identity import Identity, TlsFiles
from meshgate_chassis.rpc.server import Server, ServerOptions
from meshgate_chassis.rpc.transport import MeshChannel, check_health, connect

__all__ = [
    "Identity",
    "MeshChannel",
    "Server",
    "ServerOptions",
    "TlsFiles",
    "check_health",
    "connect",
]
