"""Servers of our own answer grpcio's plain stubs as grpcio's servers would."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from meshgate_chassis.rpc.options import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.support.eventually import eventually
from tests.unit.chassis.native.public_service import SERVICE, Echo, server_of, serving

UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
MEGABYTE = 1_000_000


@pytest.fixture
async def channel(listen: str, echo: Echo) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(listen, options=UNLIMITED) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> RouterServiceStub:
    return RouterServiceStub(channel)


async def said(stub: RouterServiceStub, text: str, **options: object) -> str:
    """What it answers."""
    answer = await stub.CreateChat(pb.CreateChatRequest(request_id=text), **{"timeout": 60, **options})
    return str(answer.served_by.provider)


async def refused(stub: RouterServiceStub, text: str, **options: object) -> grpc.aio.AioRpcError:
    """How it refuses."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await said(stub, text, **options)
    return caught.value


async def test_large_messages_arrive_whole(stub: RouterServiceStub) -> None:
    """10 MB there and back, which is many frames and many windows."""
    text = "0123456789" * MEGABYTE

    assert text == await said(stub, text)


async def test_a_stream_of_large_messages_arrives_whole(stub: RouterServiceStub) -> None:
    """Ten of 10 MB; and ten thousand of 1 kB, in order and none twice."""
    large = [len(each.started.served_by.provider) async for each in stub.StreamChat(asked(10, 10 * MEGABYTE))]
    small = 0
    async for _ in stub.StreamChat(asked(10_010, 1_000)):
        small += 1

    assert [10 * MEGABYTE] * 10 == large
    assert 10_000 == small


def asked(count: int, size: int) -> pb.StreamChatRequest:
    return pb.StreamChatRequest(request_id=f"{count} {size}")


async def test_a_slow_reader_holds_its_stream_up_and_no_other(stub: RouterServiceStub, echo: Echo) -> None:
    """What a client does not take waits at the servicer, not in memory; other calls go on."""
    stream = stub.StreamChat(asked(0, 100_000))
    await stream.read()
    standing = [-1]
    await eventually(lambda: standing.append(echo.sent) or standing[-1] == standing[-2], "it stands still")

    assert "yes" == await said(stub, "yes")
    assert echo.sent < 200
    stream.cancel()
    await eventually(lambda: 0 == echo.inside, "the servicer was told")


@pytest.mark.parametrize("kind", ["request", "response"])
async def test_a_message_above_the_limit_is_refused(stub: RouterServiceStub, kind: str) -> None:
    """RESOURCE_EXHAUSTED, in both directions; the connection goes on."""
    text = "x" * (MESSAGE_BYTES_MAX + 1) if kind == "request" else f"long {MESSAGE_BYTES_MAX + 1}"

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is (await refused(stub, text)).code()
    assert "yes" == await said(stub, "yes")


async def test_a_message_below_the_limit_is_taken(stub: RouterServiceStub) -> None:
    """64 MiB less what wraps the text."""
    assert MESSAGE_BYTES_MAX - 100 == len(await said(stub, f"long {MESSAGE_BYTES_MAX - 100}"))


async def test_metadata_arrives(stub: RouterServiceStub) -> None:
    """By lower-case names, and half of what is allowed at once."""
    value = "v" * (METADATA_BYTES_MAX // 2)

    assert value == await said(stub, "metadata x-mine", metadata=(("x-mine", value),))


async def test_too_much_metadata_is_refused(stub: RouterServiceStub, echo: Echo) -> None:
    """The call fails by name; another one on its connection goes on."""
    other = stub.CreateChat(pb.CreateChatRequest(request_id="wait"), timeout=60)
    await eventually(lambda: 1 == echo.inside, "it is inside")

    error = await refused(stub, "x", metadata=(("x-mine", "v" * (METADATA_BYTES_MAX * 3 // 2)),))

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is error.code()
    echo.opened.set()
    assert "wait" == (await other).served_by.provider


async def test_metadata_beyond_all_measure_ends_the_connection(stub: RouterServiceStub) -> None:
    """Nobody reads so much; the next call has a connection of its own."""
    error = await refused(stub, "x", metadata=(("x-mine", "v" * 4 * METADATA_BYTES_MAX),))

    assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    assert "yes" == await said(stub, "yes")


async def test_compressed_requests_are_refused_by_name(stub: RouterServiceStub) -> None:
    """UNIMPLEMENTED, as the specification wants it of an encoding that is not known."""
    error = await refused(stub, "a" * 10_000, compression=grpc.Compression.Gzip)

    assert grpc.StatusCode.UNIMPLEMENTED is error.code()
    assert "yes" == await said(stub, "yes")


async def test_many_calls_at_a_time_get_their_own_answers(stub: RouterServiceStub) -> None:
    """Of different lengths, on one connection."""
    texts = [f"{number} " + "x" * (number * 37 % 5_000) for number in range(1_000)]

    assert texts == await asyncio.gather(*(said(stub, text) for text in texts))


async def test_a_client_that_resets_cancels_its_handler_alone(stub: RouterServiceStub, echo: Echo) -> None:
    """The others on the connection go on."""
    calls = [stub.CreateChat(pb.CreateChatRequest(request_id="wait"), timeout=60) for _ in range(10)]
    await eventually(lambda: 10 == echo.inside, "all are inside")
    for call in calls[::2]:
        call.cancel()
    await eventually(lambda: 5 == echo.inside, "five have left")
    echo.opened.set()

    answers = [await call for call in calls[1::2]]
    assert ["wait"] * 5 == [answer.served_by.provider for answer in answers]
    assert 5 == echo.cancelled


async def test_the_clients_deadline_ends_the_call(stub: RouterServiceStub, echo: Echo) -> None:
    """For both: the client hears DEADLINE_EXCEEDED, the handler is cancelled."""
    error = await refused(stub, "wait", timeout=0.2)

    assert grpc.StatusCode.DEADLINE_EXCEEDED is error.code()
    await eventually(lambda: (0, 1) == (echo.inside, echo.cancelled), "the handler has ended")


@pytest.mark.parametrize("path", [f"/{SERVICE}/NoSuchMethod", "/no.such.Service/Method"])
async def test_what_is_not_served_is_unimplemented(channel: grpc.aio.Channel, path: str) -> None:
    """A method or a service that nobody knows."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(path)(b"", timeout=10)

    assert grpc.StatusCode.UNIMPLEMENTED is caught.value.code()


@pytest.mark.parametrize("method", ["CreateChat", "StreamChat"])
async def test_bytes_that_are_no_message_are_refused(channel: grpc.aio.Channel, method: str) -> None:
    """INTERNAL, as grpcio says; not UNEXPECTED, which would be ours."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"/{SERVICE}/{method}")(b"\xff\xff", timeout=10)

    assert grpc.StatusCode.INTERNAL is caught.value.code()
    assert "UNEXPECTED" not in str(caught.value.trailing_metadata())


async def test_a_client_that_waits_for_the_server_is_served_when_it_is_back(listen: str) -> None:
    """As with a restart: it asks while nobody listens."""
    async with grpc.aio.insecure_channel(listen) as channel:
        stub = RouterServiceStub(channel)
        async with serving(listen):
            assert "before" == await said(stub, "before")
        waiting = stub.CreateChat(pb.CreateChatRequest(request_id="after"), timeout=60, wait_for_ready=True)
        async with serving(listen):
            assert "after" == (await waiting).served_by.provider


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
async def test_a_wildcard_serves_both_families(host: str) -> None:
    """As with grpcio; and a client of IPv4 is one of IPv4."""
    async with serving(f"{host}:{(port := free_port())}"):
        for client in ("127.0.0.1", "[::1]"):
            async with grpc.aio.insecure_channel(f"{client}:{port}") as channel:
                assert client.strip("[]") == await said(RouterServiceStub(channel), "address")


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


async def test_a_client_of_http_1_is_told_and_left(listen: str, echo: Echo) -> None:
    """It hears GOAWAY, and the connection ends."""
    reader, writer = await asyncio.open_unix_connection(listen.removeprefix("unix:"))
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert b"speak HTTP/2" in await reader.read()
    writer.close()


async def test_a_server_can_be_entered_after_another_has_left(tmp_path: Path) -> None:
    """The address is free again, and its file is gone."""
    listen = f"unix:{tmp_path}/s"
    for _ in range(3):
        async with server_of(Echo(), listen), grpc.aio.insecure_channel(listen) as channel:
            assert "yes" == await said(RouterServiceStub(channel), "yes")
        assert not (tmp_path / "s").exists()
