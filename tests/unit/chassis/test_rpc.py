"""The transport keeps its promises: errors, deadlines, identity, health, over real gRPC on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
import trustme
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from meshgate_chassis.deadline import deadline_scope, remaining_s
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_chassis.rpc import Identity, Server, ServerOptions, TlsFiles, check_health, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2_grpc
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient, RouterServiceServicer
from meshgate_protos.rpc import Call
from tests.support.eventually import eventually

SECRET = b"a secret of the mesh, for tests"
OFF = Telemetry(None)


class Subject(RouterServiceServicer):
    """Does what the request id says."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.nested: RouterServiceClient | None = None
        self.seen_remaining_s: float | None = None

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        if request.request_id == "invalid":
            raise invalid_field("messages[0].role", "is missing")
        if request.request_id == "crash":
            raise ValueError("the text of an unexpected error, with sk-secret-inside")
        if request.request_id == "hang":
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
    """A server and a way to make clients of it."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.target = f"unix:{folder}/s"

    async def serve(self, subject: Subject, tls: TlsFiles | None = None) -> Server:
        options = ServerOptions(self.target, Identity("router", SECRET, tls), drain_grace_s=0.2)
        server = Server(options, OFF, RpcMetrics(CollectorRegistry()))
        server.add(subject)
        return await self.stack.enter_async_context(server)

    def client(
        self, name: str = "edge", secret: bytes = SECRET, tls: TlsFiles | None = None
    ) -> RouterServiceClient:
        channel = connect(self.target, callee="router", identity=Identity(name, secret, tls), telemetry=OFF)
        self.stack.push_async_callback(channel.close)
        return RouterServiceClient(channel)


@pytest.fixture
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        yield Mesh(stack, tmp_path_factory.mktemp("m"))


async def failure(client: RouterServiceClient, request_id: str) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await client.create_chat(pb.CreateChatRequest(request_id=request_id), timeout_s=5)
    return caught.value


async def test_an_error_arrives_as_it_was_raised(mesh: Mesh) -> None:
    """Code, reason, message, fields and domain survive a unary call."""
    await mesh.serve(Subject())

    error = await failure(mesh.client(), "invalid")

    assert Code.INVALID_ARGUMENT == error.code
    assert "FIELD_INVALID" == error.reason
    assert "router.meshgate" == error.domain
    assert {"messages[0].role": "is missing"} == error.fields


async def test_an_error_arrives_after_the_first_message_of_a_stream(mesh: Mesh) -> None:
    """What was sent is received, then the error with its metadata and retry time."""
    await mesh.serve(Subject())
    events = []

    with pytest.raises(MeshError) as caught:
        async for event in mesh.client().stream_chat(pb.StreamChatRequest(), timeout_s=5):
            events.append(event.WhichOneof("event"))

    assert ["started"] == events
    assert "PROVIDER_STREAM_BROKEN" == caught.value.reason
    assert {"k": "v"} == caught.value.metadata
    assert 1.5 == caught.value.retry_after_s


async def test_an_unexpected_exception_leaks_nothing(mesh: Mesh, capfd: pytest.CaptureFixture[str]) -> None:
    """It becomes INTERNAL/UNEXPECTED without the exception's text."""
    await mesh.serve(Subject())

    error = await failure(mesh.client(), "crash")

    assert (Code.INTERNAL, "UNEXPECTED") == (error.code, error.reason)
    assert "sk-secret" not in str(error)


async def test_a_deadline_reaches_the_service_behind_the_service(mesh: Mesh) -> None:
    """The inner call has less time than the outer one, though nobody passed a timeout along."""
    subject = Subject()
    await mesh.serve(subject)
    subject.nested = mesh.client()

    await mesh.client().create_chat(pb.CreateChatRequest(request_id="nested"), timeout_s=2)

    assert subject.seen_remaining_s is None or subject.seen_remaining_s < 2
    assert subject.seen_remaining_s is not None


async def test_a_call_with_too_little_time_is_not_made(mesh: Mesh) -> None:
    """It fails at once, before the network."""
    await mesh.serve(Subject())
    client = mesh.client()

    with deadline_scope(0.010), pytest.raises(MeshError) as caught:
        await client.create_chat(pb.CreateChatRequest())

    assert "DEADLINE_TOO_CLOSE" == caught.value.reason


async def test_a_call_without_a_deadline_is_a_bug(mesh: Mesh) -> None:
    """Neither a timeout nor a surrounding deadline: refused on the calling side."""
    await mesh.serve(Subject())
    assert remaining_s() is None

    with pytest.raises(MeshError) as caught:
        await mesh.client().create_chat(pb.CreateChatRequest())

    assert "DEADLINE_MISSING" == caught.value.reason


async def test_the_server_refuses_a_call_without_a_deadline(mesh: Mesh) -> None:
    """A foreign client that gives none gets INVALID_ARGUMENT/DEADLINE_REQUIRED, with standard details."""
    await mesh.serve(Subject())
    from meshgate_chassis.rpc.identity import credentials

    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = router_service_pb2_grpc.RouterServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateChat(
                pb.CreateChatRequest(), metadata=credentials(Identity("edge", SECRET), "router")
            )

    status = rpc_status.from_call(_Settled(caught.value))
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert "DEADLINE_REQUIRED" == info.reason


class _Settled:
    """What grpc_status wants to see of an AioRpcError."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def trailing_metadata(self) -> object:
        return self._error.trailing_metadata()

    def code(self) -> grpc.StatusCode:
        return self._error.code()

    def details(self) -> str | None:
        return self._error.details()


@pytest.mark.parametrize(
    ("name", "secret", "reason"),
    [
        ("edge", b"another secret altogether", "CALLER_UNKNOWN"),
        ("cache", SECRET, "CALLER_NOT_ALLOWED"),
    ],
)
async def test_only_known_and_allowed_callers_get_in(
    mesh: Mesh, name: str, secret: bytes, reason: str
) -> None:
    """A wrong secret and a wrong service are told apart."""
    await mesh.serve(Subject())

    error = await failure(mesh.client(name, secret), "x")

    assert reason == error.reason


async def test_the_caller_is_known_to_the_servicer(mesh: Mesh) -> None:
    """By the name it proved."""
    await mesh.serve(Subject())

    answer = await mesh.client().create_chat(pb.CreateChatRequest(), timeout_s=5)

    assert "edge" == answer.served_by.provider


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_cancelled_caller_cancels_the_handler(mesh: Mesh, kind: str) -> None:
    """The handler's `finally` runs soon after the caller went away."""
    subject = Subject()
    await mesh.serve(subject)
    client = mesh.client()

    async def call() -> None:
        if kind == "unary":
            await client.create_chat(pb.CreateChatRequest(request_id="hang"), timeout_s=30)
        async for _ in client.stream_chat(pb.StreamChatRequest(request_id="hang"), timeout_s=30):
            started.set()

    started = asyncio.Event()
    task = asyncio.get_running_loop().create_task(call())
    if kind == "unary":
        await asyncio.sleep(0.1)
    else:
        await started.wait()
    task.cancel()

    await eventually(subject.cancelled.is_set, "the handler is cancelled")


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_channel_that_closes_cancels_its_calls(mesh: Mesh, kind: str) -> None:
    """Neither side goes on with a call whose channel is closed."""
    subject = Subject()
    await mesh.serve(subject)
    channel = connect(mesh.target, callee="router", identity=Identity("edge", SECRET), telemetry=OFF)
    client, begun = RouterServiceClient(channel), asyncio.Event()

    async def call() -> None:
        if kind == "unary":
            begun.set()
            await client.create_chat(pb.CreateChatRequest(request_id="hang"), timeout_s=30)
        async for _ in client.stream_chat(pb.StreamChatRequest(request_id="hang"), timeout_s=30):
            begun.set()

    task = asyncio.get_running_loop().create_task(call())
    await begun.wait()
    await asyncio.sleep(0.1)
    await channel.close()

    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(subject.cancelled.is_set, "the handler is cancelled")


async def test_a_missing_service_is_unreachable_not_a_hang(mesh: Mesh) -> None:
    """Nobody listens: UNAVAILABLE/SERVICE_UNREACHABLE."""
    error = await failure(mesh.client(), "x")

    assert (Code.UNAVAILABLE, "SERVICE_UNREACHABLE") == (error.code, error.reason)


async def test_a_call_lost_under_way_is_told_apart_from_one_never_sent(mesh: Mesh) -> None:
    """The server goes away while it works: UNAVAILABLE/CONNECTION_LOST, because the work may be done."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(mesh.target.removeprefix("unix:"))
        listener.listen()
        error, _ = await asyncio.gather(
            failure(mesh.client(), "x"), asyncio.to_thread(hang_up_when_called, listener)
        )

    assert (Code.UNAVAILABLE, "CONNECTION_LOST") == (error.code, error.reason)


def hang_up_when_called(listener: socket.socket) -> None:
    """Speaks just enough HTTP/2 to be called once, then closes the connection."""
    connection, _ = listener.accept()
    with connection:
        empty_settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        settings_ack = bytes([0, 0, 0, 4, 1, 0, 0, 0, 0])
        connection.sendall(empty_settings + settings_ack)
        received = 0
        while received < 400 and (data := connection.recv(4096)):
            received += len(data)


async def test_health_follows_the_server(mesh: Mesh) -> None:
    """Serving while it is open, not before and not after."""
    probe = {"tls": None, "server_name": "router", "timeout_s": 2.0}
    assert not await check_health(mesh.target, **probe)

    server = await mesh.serve(Subject())
    assert await check_health(mesh.target, **probe)

    await server.set_serving(False)
    assert not await check_health(mesh.target, **probe)


async def test_reflection_lists_the_service(mesh: Mesh) -> None:
    """Standard server reflection names the contract."""
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    await mesh.serve(Subject())
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        answers = [answer async for answer in stub.ServerReflectionInfo(asked, timeout=5)]

    names = {service.name for service in answers[0].list_services_response.service}
    assert {"meshgate_protos.router.v1.RouterService", "grpc.health.v1.Health"} <= names


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return ca


def issue(ca: trustme.CA, name: str, folder: Path) -> TlsFiles:
    certificate = ca.issue_cert(name)
    certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return TlsFiles(folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem")


async def test_mutual_tls_carries_the_callers_name(mesh: Mesh, authority: trustme.CA, tmp_path: Path) -> None:
    """The name in the certificate and the name in the token have to agree."""
    mesh.target = "localhost:0"
    subject = Subject()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        mesh.target = f"127.0.0.1:{probe.getsockname()[1]}"
    await mesh.serve(subject, issue(authority, "router", tmp_path))
    edge, cache = issue(authority, "edge", tmp_path), issue(authority, "cache", tmp_path)

    answer = await mesh.client(tls=edge).create_chat(pb.CreateChatRequest(), timeout_s=5)
    error = await failure(mesh.client("edge", tls=cache), "x")

    assert "edge" == answer.served_by.provider
    assert "CALLER_UNKNOWN" == error.reason


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.1.2.3:1", "ledger:50051", "dns:///ledger:50051"])
def test_plaintext_beyond_loopback_is_refused(address: str) -> None:
    """Unless it is asked for by name."""
    with pytest.raises(MeshError) as caught:
        Server(ServerOptions(address, Identity("router", SECRET)), OFF, RpcMetrics(CollectorRegistry()))

    assert "TLS_REQUIRED" == caught.value.reason


def test_a_secret_never_shows() -> None:
    """Neither in repr nor in str."""
    assert "secret" not in f"{Identity('edge', SECRET)!r} {Identity('edge', SECRET)!s}"
