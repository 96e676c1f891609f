"""A public service knows where its callers are."""

import socket

import pytest
from prometheus_client import CollectorRegistry

from meshgate_chassis.rpc import Identity, Server, ServerOptions, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient, RouterServiceServicer
from meshgate_protos.rpc import Call

SECRET = b"a secret of the mesh, for tests"
OFF = Telemetry(None)


class Subject(RouterServiceServicer):
    """Tells the address."""

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        return pb.CreateChatResponse(served_by=pb.ServedBy(api_base=call.peer_address))


Subject.__abstractmethods__ = frozenset()  # other methods of the contract are never called


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", ""])
async def test_it_is_told(tmp_path_factory: pytest.TempPathFactory, host: str) -> None:
    """IPv4 and IPv6; a unix socket has none."""
    target = f"unix:{tmp_path_factory.mktemp('m')}/s" if not host else f"{host}:{free_port(host)}"
    server = Server(ServerOptions(target, Identity("router", SECRET)), OFF, RpcMetrics(CollectorRegistry()))
    server.add_public(Subject())
    async with server:
        channel = connect(target, callee="router", identity=Identity("edge", SECRET), telemetry=OFF)
        try:
            client = RouterServiceClient(channel)
            answer = await client.create_chat(pb.CreateChatRequest(), timeout_s=5)
        finally:
            await channel.close()

    assert host.strip("[]") == answer.served_by.api_base


def free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.bind((host.strip("[]"), 0))
        return int(found.getsockname()[1])
