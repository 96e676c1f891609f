"""The standard health service of servers of our own, asked with grpcio's stubs."""

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshgate_chassis.rpc import Server
from tests.unit.chassis.native.public_service import SERVICE, Echo, server_of

ANSWER = health_pb2.HealthCheckResponse


@pytest.fixture
async def server(listen: str) -> AsyncIterator[Server]:
    async with server_of(Echo(), listen) as server:
        yield server


@pytest.fixture
async def channel(listen: str, server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(listen) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(channel)


def asked(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_it_tells_of_the_server_and_of_each_service(
    stub: health_pb2_grpc.HealthStub, server: Server, service: str
) -> None:
    """Serving and not serving; without a deadline, as load balancers ask."""
    before = await stub.Check(asked(service))
    await server.set_serving(False)
    after = await stub.Check(asked(service))

    assert (ANSWER.SERVING, ANSWER.NOT_SERVING) == (before.status, after.status)


async def test_a_service_that_nobody_knows_is_not_found(stub: health_pb2_grpc.HealthStub) -> None:
    """By the protocol: NOT_FOUND."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(asked("no.such.Service"), timeout=10)

    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


async def test_watchers_are_told_of_every_change(stub: health_pb2_grpc.HealthStub, server: Server) -> None:
    """At once what is, then each change, and nothing when nothing changed."""
    watches = [stub.Watch(asked(service), timeout=60) for service in ("", SERVICE)]

    async def heard() -> list[int]:
        return [(await watch.read()).status for watch in watches]

    first = await heard()
    await server.set_serving(False)
    second = await heard()
    await server.set_serving(False)
    await server.set_serving(True)
    third = await heard()

    assert [[ANSWER.SERVING] * 2, [ANSWER.NOT_SERVING] * 2, [ANSWER.SERVING] * 2] == [first, second, third]


async def test_who_watches_what_is_not_known_waits_for_it(stub: health_pb2_grpc.HealthStub) -> None:
    """By the protocol: SERVICE_UNKNOWN, and the call goes on."""
    watch = stub.Watch(asked("no.such.Service"), timeout=60)

    assert ANSWER.SERVICE_UNKNOWN == (await watch.read()).status
    assert not watch.done()
    watch.cancel()


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_bytes_that_are_no_request_are_refused(channel: grpc.aio.Channel, method: str) -> None:
    """INTERNAL, as grpcio says."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"/grpc.health.v1.Health/{method}")(b"\xff\xff", timeout=10)

    assert grpc.StatusCode.INTERNAL is caught.value.code()
