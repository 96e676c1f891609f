"""A service of the mesh and its callers, over a real socket, on any pair of transports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import get_args

import pytest
import trustme
from prometheus_client import CollectorRegistry

from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_chassis.rpc import Identity, MeshChannel, Server, ServerOptions, TlsFiles, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient, RouterServiceServicer
from meshgate_protos.rpc import Call

SECRET = b"a secret of the mesh, for tests"
OFF = Telemetry(None)
TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
PAIRS = [
    pytest.param((server, client), id=f"{client}-calls-{server}")
    for server in TRANSPORTS
    for client in TRANSPORTS
]


class Subject(RouterServiceServicer):
    """Does what the request id says."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.nested: RouterServiceClient | None = None
        self.seen_remaining_s: float | None = None

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        if request.request_id == "invalid":
            raise invalid_field("messages[0].role", "is missing")
        if request.request_id == "crash":
            raise ValueError("the text of an unexpected error, with sk-secret-inside")
        if request.request_id == "hang":
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if request.request_id == "nested":
            assert self.nested is not None
            return await self.nested.create_chat(pb.CreateChatRequest(request_id="remaining"))
        self.seen_remaining_s = call.remaining_s()
        return pb.CreateChatResponse(served_by=pb.ServedBy(provider=call.caller))

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        try:
            yield pb.StreamChatResponse(started=pb.Started())
            if request.request_id == "hang":
                await asyncio.Event().wait()
            if request.request_id == "crash":
                raise ValueError("the text of an unexpected error, with sk-secret-inside")
            raise MeshError(
                Code.UNAVAILABLE, "PROVIDER_STREAM_BROKEN", "cut", metadata={"k": "v"}, retry_after_s=1.5
            )
        finally:
            self.cancelled.set()

    async def get_state(self, request: pb.GetStateRequest, call: Call) -> pb.GetStateResponse:
        return pb.GetStateResponse()

    async def probe_deployments(
        self, request: pb.ProbeDeploymentsRequest, call: Call
    ) -> pb.ProbeDeploymentsResponse:
        return pb.ProbeDeploymentsResponse()

    async def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[pb.Model(id="m" * 100_000)])


Subject.__abstractmethods__ = frozenset()  # other methods of the contract are never called


class Mesh:
    """A server and a way to make clients of it. `transports`: of the server and of the clients."""

    def __init__(self, stack: AsyncExitStack, folder: Path, transports: tuple[Transport, Transport]) -> None:
        self.stack, self.folder = stack, folder
        self.server_transport, self.client_transport = transports
        self.target = f"unix:{folder}/s"
        self.registry = CollectorRegistry()

    def server(self, subject: Subject, tls: TlsFiles | None = None, drain_grace_s: float = 0.2) -> Server:
        """Made, and not yet entered."""
        options = ServerOptions(self.target, Identity("router", SECRET, tls), drain_grace_s=drain_grace_s)
        server = Server(options, OFF, RpcMetrics(self.registry), transport=self.server_transport)
        server.add(subject)
        return server

    async def serve(self, subject: Subject, tls: TlsFiles | None = None) -> Server:
        """Until the end of the test."""
        return await self.stack.enter_async_context(self.server(subject, tls))

    def channel(self, name: str = "edge", secret: bytes = SECRET, tls: TlsFiles | None = None) -> MeshChannel:
        """Until the end of the test."""
        channel = connect(
            self.target,
            callee="router",
            identity=Identity(name, secret, tls),
            telemetry=OFF,
            transport=self.client_transport,
        )
        self.stack.push_async_callback(channel.close)
        return channel

    def client(
        self, name: str = "edge", secret: bytes = SECRET, tls: TlsFiles | None = None
    ) -> RouterServiceClient:
        """On a channel of its own."""
        return RouterServiceClient(self.channel(name, secret, tls))

    def handled(self, code: str) -> float:
        """Unary calls that the server's metrics count with this code."""
        labels = {
            "grpc_service": "meshgate_protos.router.v1.RouterService",
            "grpc_method": "CreateChat",
            "grpc_code": code,
        }
        return self.registry.get_sample_value("grpc_server_handled_total", labels) or 0.0


async def failure(client: RouterServiceClient, request_id: str, timeout_s: float = 5) -> MeshError:
    """How a unary call failed."""
    with pytest.raises(MeshError) as caught:
        await client.create_chat(pb.CreateChatRequest(request_id=request_id), timeout_s=timeout_s)
    return caught.value


def issue(ca: trustme.CA, name: str, folder: Path) -> TlsFiles:
    """The files of a service with a certificate of this authority."""
    certificate = ca.issue_cert(name)
    certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return TlsFiles(folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem")
