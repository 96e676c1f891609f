"""A public service on our own transport, for clients that know nothing of the mesh."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from meshgate_chassis.rpc import Identity, Server, ServerOptions
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceServicer
from meshgate_protos.rpc import Call

SERVICE = "meshgate_protos.router.v1.RouterService"


class Echo(RouterServiceServicer):
    """Says what it was told; some request ids ask for more."""

    def __init__(self) -> None:
        self.inside = 0
        self.cancelled = 0
        self.sent = 0
        self.opened = asyncio.Event()  # for "wait"

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        said = request.request_id
        self.inside += 1
        try:
            if said == "wait":
                await self.opened.wait()
            if said == "address":
                said = call.peer_address
            if said.startswith("metadata "):
                said = call.metadata[said.removeprefix("metadata ")]
            if said.startswith("long "):
                said = "x" * int(said.removeprefix("long "))
            return pb.CreateChatResponse(served_by=pb.ServedBy(provider=said))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        """ "COUNT BYTES": so many messages of so many bytes. Without an end: COUNT 0."""
        count, size = map(int, request.request_id.split())
        self.inside += 1
        try:
            while count == 0 or self.sent < count:
                self.sent += 1
                yield pb.StreamChatResponse(started=pb.Started(served_by=pb.ServedBy(provider="x" * size)))
        finally:
            self.inside -= 1


Echo.__abstractmethods__ = frozenset()  # other methods of the contract are never called


def server_of(echo: Echo, listen: str, drain_grace_s: float = 20.0) -> Server:
    """Not entered yet."""
    options = ServerOptions(
        listen, Identity("router", b"a secret"), plaintext_allowed=True, drain_grace_s=drain_grace_s
    )
    server = Server(options, Telemetry(None), RpcMetrics(CollectorRegistry()), transport="native")
    server.add_public(echo)
    return server


@asynccontextmanager
async def serving(listen: str, drain_grace_s: float = 0.2) -> AsyncIterator[Echo]:
    """While it is open."""
    echo = Echo()
    async with server_of(echo, listen, drain_grace_s):
        yield echo
