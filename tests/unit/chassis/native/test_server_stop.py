"""How a server of our own stops: it says so, takes nothing new, waits for what is under way, then cancels."""

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshgate_chassis.rpc.http2 import frames
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.support.eventually import eventually
from tests.unit.chassis.native.bare_client import BareClient
from tests.unit.chassis.native.public_service import SERVICE, Echo, server_of, serving

GRACE_S = 20.0


def waiting(stub: RouterServiceStub) -> "grpc.aio.UnaryUnaryCall[object, pb.CreateChatResponse]":
    return stub.CreateChat(pb.CreateChatRequest(request_id="wait"), timeout=60)


async def test_what_is_under_way_is_answered(listen: str) -> None:
    """Within the grace; and nothing is cancelled."""
    echo = Echo()
    async with grpc.aio.insecure_channel(listen) as channel:
        server = server_of(echo, listen, GRACE_S)
        await server.__aenter__()
        call = waiting(RouterServiceStub(channel))
        await eventually(lambda: echo.inside, "the call is under way")
        stopping = asyncio.get_running_loop().create_task(server.__aexit__())
        await asyncio.sleep(0)
        echo.opened.set()
        await stopping

        assert "wait" == (await call).served_by.provider
        assert 0 == echo.cancelled


async def test_what_takes_longer_than_the_grace_is_cancelled(listen: str) -> None:
    """The client hears UNAVAILABLE, and the handler has ended when the server has."""
    async with grpc.aio.insecure_channel(listen) as channel:
        async with serving(listen, drain_grace_s=0.1) as echo:
            call = waiting(RouterServiceStub(channel))
            await eventually(lambda: echo.inside, "the call is under way")

        assert (0, 1) == (echo.inside, echo.cancelled)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert grpc.StatusCode.UNAVAILABLE is caught.value.code()


async def test_the_address_is_free_while_the_last_calls_are_answered(listen: str) -> None:
    """The next server listens already; calls that come now reach it."""
    old, socket_file = Echo(), Path(listen.removeprefix("unix:"))
    async with grpc.aio.insecure_channel(listen) as channel:
        stub = RouterServiceStub(channel)
        server = server_of(old, listen, GRACE_S)
        await server.__aenter__()
        call = waiting(stub)
        await eventually(lambda: old.inside, "the call is under way")
        stopping = asyncio.get_running_loop().create_task(server.__aexit__())
        await eventually(lambda: not socket_file.exists(), "the address is free")
        async with serving(listen):
            request = pb.CreateChatRequest(request_id="new")
            answer = await stub.CreateChat(request, timeout=60, wait_for_ready=True)
            assert not stopping.done()
            old.opened.set()
            await stopping

        assert ["new", "wait"] == [answer.served_by.provider, (await call).served_by.provider]


async def test_a_client_is_asked_to_leave_before_it_is_refused(listen: str) -> None:
    """First a GOAWAY that refuses nothing and a ping; what comes before its answer is served."""
    echo = Echo()
    server = server_of(echo, listen, GRACE_S)
    await server.__aenter__()
    async with BareClient.connected(listen) as client:
        request = pb.CreateChatRequest(request_id="yes").SerializeToString()
        client.call(f"/{SERVICE}/CreateChat", request)
        await client.headers()
        stopping = asyncio.get_running_loop().create_task(server.__aexit__())
        first = await client.next(frames.GOAWAY)
        _, _, _, ping = await client.next(frames.PING)
        client.call(f"/{SERVICE}/CreateChat", request)
        client.say(frames.ping(ping, ack=True))
        rest = await client.rest()
        await stopping

    second = next(payload for kind, _, _, payload in rest if kind == frames.GOAWAY)
    answered = {stream_id for kind, flags, stream_id, _ in rest if flags & frames.END_STREAM}
    assert (2**31 - 1, 3) == tuple(int.from_bytes(each[:4], "big") for each in (first[3], second))
    assert {3} == answered


async def test_health_says_it_and_watchers_are_let_go(listen: str) -> None:
    """A watcher is not waited for: it hears NOT_SERVING, then the end."""
    seen: list[int] = []
    server = server_of(Echo(), listen, GRACE_S)
    await server.__aenter__()
    async with grpc.aio.insecure_channel(listen) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        seen.append((await watch.read()).status)
        stopping = asyncio.get_running_loop().create_task(server.__aexit__())
        with pytest.raises(grpc.aio.AioRpcError):
            while True:
                seen.append((await watch.read()).status)
        await stopping

    response = health_pb2.HealthCheckResponse
    assert [response.SERVING, response.NOT_SERVING] == seen
