"""Several replicas of a service: calls in turn, and no call is lost that was never begun."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc import Identity, connect
from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient
from tests.support.eventually import eventually
from tests.unit.chassis.native.bare_peer import Answer, BarePeer, listening
from tests.unit.chassis.native.replica import SECRET, Replica, replica_process, server_of
from tests.unit.chassis.rpc_mesh import issue

CALLERS = 8


def free_ports(count: int) -> list[int]:
    """Of loopback; all at once, so that they differ."""
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in found]
    for each in found:
        each.close()
    return ports


class Callers:
    """Call without a pause, and note who answered or why nobody did."""

    def __init__(self, client: RouterServiceClient) -> None:
        self.client = client
        self.answered: Counter[str] = Counter()
        self.errors: list[MeshError] = []
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            try:
                answer = await self.client.create_chat(pb.CreateChatRequest(), timeout_s=20)
                self.answered[answer.served_by.provider] += 1
            except MeshError as error:
                self.errors.append(error)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


def client_of(stack: AsyncExitStack, ports: list[int]) -> RouterServiceClient:
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    channel = connect(
        target,
        callee="router",
        identity=Identity("edge", SECRET),
        telemetry=Telemetry(None),
        plaintext_allowed=True,
        transport="native",
    )
    stack.push_async_callback(channel.close)
    return RouterServiceClient(channel)


@pytest.fixture(params=["native", "grpcio"])
def transport(request: pytest.FixtureRequest) -> Transport:
    made: Transport = request.param
    return made


async def test_a_killed_replica_costs_only_what_it_had_begun(
    stack: AsyncExitStack, transport: Transport
) -> None:
    """At most one call of each caller, and each tells that it may have been carried out."""
    ports = free_ports(2)
    first, _ = [
        stack.enter_context(replica_process(transport, f"127.0.0.1:{port}", str(port))) for port in ports
    ]
    callers = Callers(client_of(stack, ports))
    running = [asyncio.ensure_future(callers.run()) for _ in range(CALLERS)]
    names = {str(port) for port in ports}
    await eventually(lambda: names == set(callers.answered), "both answer")

    first.kill()
    await asyncio.to_thread(first.wait)
    before = callers.answered.total()
    await eventually(lambda: callers.answered.total() > before + 100, "the other goes on")
    callers.stopping = True
    await asyncio.gather(*running)

    assert {"CONNECTION_LOST"} >= {error.reason for error in callers.errors}
    assert CALLERS >= len(callers.errors)


async def test_a_replica_that_stops_loses_no_call(stack: AsyncExitStack, transport: Transport) -> None:
    """It says that it leaves; what it had begun is finished, everything else goes to the other one."""
    ports = free_ports(2)
    replicas = [Replica(str(port)) for port in ports]
    leaving, staying = [
        server_of(replica, f"127.0.0.1:{port}", transport)
        for replica, port in zip(replicas, ports, strict=True)
    ]
    await stack.enter_async_context(staying)
    client = client_of(stack, ports)
    callers = Callers(client)
    async with leaving:
        running = [asyncio.ensure_future(callers.run()) for _ in range(CALLERS)]
        await eventually(lambda: len(callers.answered) == 2, "both answer")
        hold = pb.CreateChatRequest(request_id="hold")
        begun = [asyncio.ensure_future(client.create_chat(hold, timeout_s=60)) for _ in range(CALLERS)]
        called = replicas[0].called + replicas[1].called + CALLERS
        await eventually(lambda: replicas[0].called + replicas[1].called > called, "they are under way")
        asyncio.get_running_loop().call_later(0.3, replicas[0].let_go.set)
    replicas[1].let_go.set()
    before = callers.answered.total()
    await eventually(lambda: callers.answered.total() > before + 100, "the other goes on")
    callers.stopping = True
    await asyncio.gather(*running)

    # What grpcio's server has read and not begun when it is stopped, it answers so; to its own clients, too.
    answered_so = {"RPC_CANCELLED"} if transport == "grpcio" else set()
    assert answered_so >= {error.reason for error in callers.errors}
    assert CALLERS >= len(callers.errors)
    assert CALLERS == len(await asyncio.gather(*begun))


def refusing(stream_id: int) -> bytes:
    return frames.rst_stream(stream_id, frames.REFUSED_STREAM)


def going(stream_id: int) -> bytes:
    return frames.goaway(0, frames.NO_ERROR)


@pytest.mark.parametrize("answer", [refusing, going])
async def test_a_refused_call_goes_to_another_replica(
    stack: AsyncExitStack, transport: Transport, answer: Answer
) -> None:
    """When the peer says that it never began it: unary and streamed."""
    port = free_ports(1)[0]
    replica = Replica("it")
    replica.let_go.set()
    await stack.enter_async_context(server_of(replica, f"127.0.0.1:{port}", transport))
    refuser = BarePeer(answer=answer)
    await stack.enter_async_context(listening(refuser))
    client = client_of(stack, [refuser.address.port, port])

    while refuser.called < 3:
        answered = await client.create_chat(pb.CreateChatRequest(), timeout_s=20)
        assert "it" == answered.served_by.provider
        events = [event async for event in client.stream_chat(pb.StreamChatRequest(), timeout_s=20)]
        assert 2 == len(events)


async def test_a_call_is_refused_twice_at_most(stack: AsyncExitStack) -> None:
    """Then its caller hears of it, as of one that was never begun."""
    refuser = await stack.enter_async_context(listening(BarePeer(answer=refusing)))
    client = client_of(stack, [refuser.address.port])

    with pytest.raises(MeshError, match="UNAVAILABLE/SERVICE_UNREACHABLE"):
        await client.create_chat(pb.CreateChatRequest(), timeout_s=20)

    assert 2 == refuser.called


async def test_a_certificate_with_another_name_is_refused(stack: AsyncExitStack, tmp_path: Path) -> None:
    """The service's must carry the name it is called by; the error says that it is about certificates."""
    authority, port = trustme.CA(), free_ports(1)[0]
    edge, cache = issue(authority, "edge", tmp_path), issue(authority, "cache", tmp_path)
    target = f"127.0.0.1:{port}"
    server = server_of(Replica("it"), target, "native", tls=cache)
    await stack.enter_async_context(server)
    identity = Identity("edge", SECRET, edge)
    channel = connect(target, callee="router", identity=identity, telemetry=Telemetry(None))
    stack.push_async_callback(channel.close)

    with pytest.raises(MeshError) as caught:
        await RouterServiceClient(channel).create_chat(pb.CreateChatRequest(), timeout_s=20)

    assert "SERVICE_UNREACHABLE" == caught.value.reason
    assert "certificate" in caught.value.message
