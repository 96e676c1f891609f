"""The transports keep their promises, each with each: errors, deadlines, identity, health; on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from meshgate_chassis.deadline import deadline_scope, remaining_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import Identity, Server, ServerOptions, check_health
from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.identity import credentials
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.options import CONCURRENT_CALLS_MAX
from meshgate_chassis.rpc.transport import Transport
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2_grpc
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient
from meshgate_protos.rpc import Call
from tests.support.eventually import eventually
from tests.unit.chassis.rpc_mesh import OFF, PAIRS, SECRET, TRANSPORTS, Mesh, Subject, failure, issue


@pytest.fixture(params=PAIRS)
async def mesh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mesh]:
    """On each pair of transports."""
    async with AsyncExitStack() as stack:
        yield Mesh(stack, tmp_path_factory.mktemp("m"), request.param)


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

    client = mesh.client()

    errors = [await failure(client, "crash")]
    with pytest.raises(MeshError) as caught:
        async for _ in client.stream_chat(pb.StreamChatRequest(request_id="crash"), timeout_s=5):
            pass
    errors.append(caught.value)

    assert [(Code.INTERNAL, "UNEXPECTED")] * 2 == [(error.code, error.reason) for error in errors]
    assert "sk-secret" not in "".join(f"{error} {error.metadata}" for error in errors)
    assert 1.0 == mesh.handled("INTERNAL")


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
    await (subject.begun if kind == "unary" else started).wait()
    task.cancel()

    await eventually(subject.cancelled.is_set, "the handler is cancelled")
    if kind == "unary":
        await eventually(lambda: 1.0 == mesh.handled("CANCELLED"), "it is counted so")


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_channel_that_closes_cancels_its_calls(mesh: Mesh, kind: str) -> None:
    """Neither side goes on with a call whose channel is closed."""
    subject = Subject()
    await mesh.serve(subject)
    channel = mesh.channel()
    client, begun = RouterServiceClient(channel), subject.begun

    async def call() -> None:
        if kind == "unary":
            await client.create_chat(pb.CreateChatRequest(request_id="hang"), timeout_s=30)
        async for _ in client.stream_chat(pb.StreamChatRequest(request_id="hang"), timeout_s=30):
            begun.set()

    task = asyncio.get_running_loop().create_task(call())
    await begun.wait()
    await channel.close()

    with pytest.raises(asyncio.CancelledError if mesh.client_transport == "grpcio" else MeshError):
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
        connection.sendall(frames.settings({}) + frames.SETTINGS_ACK)
        preface = connection.recv(len(frames.CLIENT_PREFACE), socket.MSG_WAITALL)
        assert frames.CLIENT_PREFACE == preface
        reader, seen = frames.FrameReader(1 << 20), set()
        while frames.DATA not in seen and (data := connection.recv(4096)):
            seen.update(kind for kind, *_ in reader.feed(data))


async def test_health_follows_the_server(mesh: Mesh) -> None:
    """Serving while it is open, not before and not after."""
    probe = {"tls": None, "server_name": "router", "timeout_s": 2.0, "transport": mesh.client_transport}
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


async def test_mutual_tls_carries_the_callers_name(mesh: Mesh, tmp_path: Path) -> None:
    """The name in the certificate and the name in the token have to agree."""
    authority = trustme.CA()
    mesh.target = f"127.0.0.1:{free_port()}"
    await mesh.serve(Subject(), issue(authority, "router", tmp_path))
    edge, cache = issue(authority, "edge", tmp_path), issue(authority, "cache", tmp_path)

    answer = await mesh.client(tls=edge).create_chat(pb.CreateChatRequest(), timeout_s=5)
    error = await failure(mesh.client("edge", tls=cache), "x")
    healthy = await check_health(
        mesh.target, tls=edge, server_name="router", timeout_s=5.0, transport=mesh.client_transport
    )

    assert "edge" == answer.served_by.provider
    assert "CALLER_UNKNOWN" == error.reason
    assert healthy


async def test_a_stranger_to_the_authority_gets_no_connection(mesh: Mesh, tmp_path: Path) -> None:
    """Neither a client whose certificate another authority signed, nor one that calls such a server."""
    (tmp_path / "other").mkdir()
    mesh.target = f"127.0.0.1:{free_port()}"
    await mesh.serve(Subject(), issue(trustme.CA(), "router", tmp_path))

    error = await failure(mesh.client(tls=issue(trustme.CA(), "edge", tmp_path / "other")), "x", 1.0)

    assert Code.UNAVAILABLE is error.code or Code.DEADLINE_EXCEEDED is error.code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_takes_so_many_calls_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> None:
    """RESOURCE_EXHAUSTED for the next; whoever comes when one has ended gets in."""
    async with AsyncExitStack() as stack:
        mesh, gate = Mesh(stack, tmp_path_factory.mktemp("m"), (transport, "native")), Gate()
        await mesh.serve(gate)
        first, second = mesh.client(), mesh.client()
        held = asyncio.gather(
            *(first.create_chat(pb.CreateChatRequest(), timeout_s=60) for _ in range(CONCURRENT_CALLS_MAX))
        )
        await eventually(lambda: CONCURRENT_CALLS_MAX == gate.inside, "all are inside", deadline_s=60)

        error = await failure(second, "x", 30)
        gate.opened.set()
        answers = await held

        assert Code.RESOURCE_EXHAUSTED is error.code
        assert CONCURRENT_CALLS_MAX == len(answers)
        await eventually(lambda: gets_in(second), "there is room again")


async def gets_in(client: RouterServiceClient) -> bool:
    """grpcio counts a call a little longer than it lasts."""
    try:
        await client.create_chat(pb.CreateChatRequest(), timeout_s=30)
    except MeshError:
        return False
    return True


class Gate(Subject):
    """Keeps calls until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.opened = 0, asyncio.Event()

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        self.inside += 1
        await self.opened.wait()
        return pb.CreateChatResponse()


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.1.2.3:1", "ledger:50051", "dns:///ledger:50051"])
def test_plaintext_beyond_loopback_is_refused(address: str) -> None:
    """Unless it is asked for by name."""
    with pytest.raises(MeshError) as caught:
        Server(ServerOptions(address, Identity("router", SECRET)), OFF, RpcMetrics(CollectorRegistry()))

    assert "TLS_REQUIRED" == caught.value.reason


def test_a_secret_never_shows() -> None:
    """Neither in repr nor in str."""
    assert "secret" not in f"{Identity('edge', SECRET)!r} {Identity('edge', SECRET)!s}"
