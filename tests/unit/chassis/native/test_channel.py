"""A channel of our own keeps the seam's promises towards real servers, grpcio's and ours."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import Identity, MeshChannel, connect
from meshgate_chassis.rpc.options import LEFT_ALONE_S_MAX, MESSAGE_BYTES_MAX
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient
from tests.support.eventually import eventually
from tests.unit.chassis.native.replica import SECRET, Replica, server_of

EDGE = Identity("edge", SECRET)


def channel_to(target: str) -> MeshChannel:
    return connect(
        target,
        callee="router",
        identity=EDGE,
        telemetry=Telemetry(None),
        plaintext_allowed=True,
        transport="native",
    )


@dataclass
class Called:
    """A server of either kind with one servicer, and a client of ours."""

    replica: Replica
    client: RouterServiceClient
    channel: MeshChannel


@pytest.fixture(params=["native", "grpcio"])
async def server_transport(request: pytest.FixtureRequest) -> Transport:
    transport: Transport = request.param
    return transport


@pytest.fixture
async def called(server_transport: Transport, tmp_path: Path) -> AsyncIterator[Called]:
    target, replica = f"unix:{tmp_path}/s", Replica("one")
    channel = channel_to(target)
    async with server_of(replica, target, server_transport, drain_grace_s=0.1):
        yield Called(replica, RouterServiceClient(channel), channel)
        await channel.close()


HOLD = pb.CreateChatRequest(request_id="hold")


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("unix:{path}", "unix:{path}"),
        ("unix:{path}", "unix://{path}"),
        ("127.0.0.1:{port}", "127.0.0.1:{port}"),
        ("127.0.0.1:{port}", "dns:///localhost:{port}"),
        ("127.0.0.1:{port}", "ipv4:127.0.0.1:{port}"),
        ("[::1]:{port}", "[::1]:{port}"),
    ],
)
async def test_a_service_is_reached_wherever_it_listens(
    server_transport: Transport, tmp_path: Path, listen: str, target: str
) -> None:
    """Sockets, IPv4, IPv6, and names of this machine."""
    host = "::1" if "::1" in listen else "127.0.0.1"
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        found = {"path": f"{tmp_path}/s", "port": free.getsockname()[1]}
    async with server_of(Replica("one"), listen.format(**found), server_transport):
        channel = channel_to(target.format(**found))
        answer = await RouterServiceClient(channel).create_chat(pb.CreateChatRequest(), timeout_s=20)
        assert await channel.serving(20)
        await channel.close()

    assert "one" == answer.served_by.provider
    assert not await channel.serving(20)


async def test_a_deadline_ends_the_call_on_both_sides(called: Called) -> None:
    """The surrounding one, which nobody passed along; the error is what grpcio makes of it."""
    with deadline_scope(0.2), pytest.raises(MeshError) as caught:
        await called.client.create_chat(HOLD)

    assert (Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED") == (caught.value.code, caught.value.reason)
    await eventually(lambda: called.replica.cancelled == 1, "the server has ended it, too")


@pytest.mark.parametrize("timeout_s", [LEFT_ALONE_S_MAX, LEFT_ALONE_S_MAX + 15])
async def test_a_short_call_is_left_alone_a_long_one_cancelled(called: Called, timeout_s: float) -> None:
    """By a caller who is cancelled: a short one may be changing something, a long one may cost money."""
    waiting = asyncio.ensure_future(called.client.create_chat(HOLD, timeout_s=timeout_s))
    await eventually(lambda: called.replica.called == 1, "it is called")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if timeout_s > LEFT_ALONE_S_MAX:
        await eventually(lambda: called.replica.cancelled == 1, "the server is told")
    called.replica.let_go.set()

    await eventually(lambda: called.replica.cancelled + called.replica.answered == 1, "it has ended")

    assert int(timeout_s <= LEFT_ALONE_S_MAX) == called.replica.answered


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_a_stream_that_is_left_is_cancelled(called: Called, how: str) -> None:
    """At the server, after the first message."""
    stream = called.client.stream_chat(pb.StreamChatRequest(), timeout_s=60)
    assert "started" == (await anext(stream)).WhichOneof("event")
    if how == "closed":
        await stream.aclose()
    else:
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    await eventually(lambda: called.replica.cancelled == 1, "the server is told")


async def test_a_whole_stream_ends(called: Called) -> None:
    """After its last message, and nothing is cancelled."""
    called.replica.let_go.set()

    events = [event async for event in called.client.stream_chat(pb.StreamChatRequest(), timeout_s=60)]

    assert ["started", "finished"] == [event.WhichOneof("event") for event in events]
    assert (1, 0) == (called.replica.answered, called.replica.cancelled)


async def test_a_closed_channel_ends_its_calls(called: Called) -> None:
    """On both sides; who waits is told that the call may have been carried out."""
    waiting = asyncio.ensure_future(called.client.create_chat(HOLD, timeout_s=60))
    await eventually(lambda: called.replica.called == 1, "it is called")
    await called.channel.close()

    with pytest.raises(MeshError, match="UNAVAILABLE/CONNECTION_LOST"):
        await waiting
    await eventually(lambda: called.replica.cancelled == 1, "the server is told")
    with pytest.raises(MeshError, match="UNAVAILABLE/SERVICE_UNREACHABLE: the channel is closed"):
        await called.client.create_chat(HOLD, timeout_s=60)


async def test_many_calls_at_a_time(called: Called) -> None:
    """Share one connection."""
    waiting = [asyncio.ensure_future(called.client.create_chat(HOLD, timeout_s=60)) for _ in range(500)]
    await eventually(lambda: called.replica.called == 500, "all are under way")
    called.replica.let_go.set()

    answers = await asyncio.gather(*waiting)

    assert 500 == len(answers)


async def test_a_service_that_comes_back_is_found(server_transport: Transport, tmp_path: Path) -> None:
    """And while it is away, calls fail at once, as never sent."""
    target = f"unix:{tmp_path}/s"
    channel = channel_to(target)
    client = RouterServiceClient(channel)
    for name in ("first", "second"):
        async with server_of(Replica(name), target, server_transport):
            await eventually(lambda name=name: served_by(client, name), "it is reached")
        with pytest.raises(MeshError) as caught:
            await client.create_chat(pb.CreateChatRequest(), timeout_s=20)
        assert "SERVICE_UNREACHABLE" == caught.value.reason
        assert caught.value.message.startswith(f"cannot connect to the router at {target}: ")
    await channel.close()


async def served_by(client: RouterServiceClient, name: str) -> bool:
    try:
        answer = await client.create_chat(pb.CreateChatRequest(), timeout_s=20)
    except MeshError:
        return False
    return answer.served_by.provider == name


async def test_an_answered_call_is_gone_without_a_collection(called: Called) -> None:
    """And so is one that failed: nothing is left in a cycle."""
    called.replica.let_go.set()
    await called.client.create_chat(HOLD, timeout_s=20)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await called.client.create_chat(HOLD, timeout_s=20)
        await asyncio.sleep(0)
        ours = [found for found in gc.get_objects() if type(found).__name__ == "ClientStream"]
        assert [] == ours
    finally:
        gc.enable()


class RawServer:
    """grpcio's server with handlers for bytes, and what they were told."""

    def __init__(self) -> None:
        self.answer = b""
        self.metadata: dict[str, Any] = {}
        self.request = b""

    async def create_chat(self, request: bytes, context: Any) -> bytes:
        self.request, self.metadata = request, dict(context.invocation_metadata())
        return self.answer

    async def stream_chat(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield self.answer


@pytest.fixture
async def raw(tmp_path: Path) -> AsyncIterator[tuple[RawServer, RouterServiceClient]]:
    peer = RawServer()
    whole = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=whole)
    methods = {
        "CreateChat": grpc.unary_unary_rpc_method_handler(peer.create_chat),
        "StreamChat": grpc.unary_stream_rpc_method_handler(peer.stream_chat),
    }
    name = "meshgate_protos.router.v1.RouterService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    server.add_insecure_port(f"unix:{tmp_path}/raw")
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, 0)
        channel = channel_to(f"unix:{tmp_path}/raw")
        stack.push_async_callback(channel.close)
        yield peer, RouterServiceClient(channel)


async def test_an_answer_that_cannot_be_read(raw: tuple[RawServer, RouterServiceClient]) -> None:
    """Is INTERNAL, unary and streamed."""
    peer, client = raw
    peer.answer = b"\xff\xff"

    with pytest.raises(MeshError, match="INTERNAL/ANSWER_UNREADABLE"):
        await client.create_chat(pb.CreateChatRequest(), timeout_s=20)
    with pytest.raises(MeshError, match="INTERNAL/ANSWER_UNREADABLE"):
        [event async for event in client.stream_chat(pb.StreamChatRequest(), timeout_s=20)]


async def test_what_is_sent_with_a_call(raw: tuple[RawServer, RouterServiceClient]) -> None:
    """The caller's metadata and its credentials, beside what gRPC wants."""
    peer, client = raw

    await client.create_chat(pb.CreateChatRequest(), timeout_s=20, metadata={"x-request": "a b"})

    assert "edge" == peer.metadata["x-meshgate-caller"]
    assert ("a b", "meshgate") == (peer.metadata["x-request"], peer.metadata["user-agent"])


async def test_large_messages_pass(raw: tuple[RawServer, RouterServiceClient]) -> None:
    """Far beyond every window, both ways; up to the limit, beyond which nothing is sent."""
    peer, client = raw
    size = MESSAGE_BYTES_MAX - 100
    peer.answer = pb.CreateChatResponse(served_by=pb.ServedBy(provider="a" * size)).SerializeToString()

    answer = await client.create_chat(pb.CreateChatRequest(request_id="q" * size), timeout_s=60)

    assert size == len(answer.served_by.provider)
    assert size < len(peer.request)

    with pytest.raises(MeshError) as caught:
        await client.create_chat(pb.CreateChatRequest(request_id="q" * MESSAGE_BYTES_MAX), timeout_s=60)
    assert Code.RESOURCE_EXHAUSTED == caught.value.code


async def test_an_unknown_method(raw: tuple[RawServer, RouterServiceClient]) -> None:
    """Is told by the server, in trailers only."""
    _, client = raw

    with pytest.raises(MeshError) as caught:
        await client.get_state(pb.GetStateRequest(), timeout_s=20)

    assert (Code.UNIMPLEMENTED, "RPC_UNIMPLEMENTED") == (caught.value.code, caught.value.reason)
