"""The standard reflection service of servers of our own, as tools for people ask it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meshgate_chassis.rpc.native import reflection
from tests.unit.chassis.native.public_service import SERVICE, serving

Request = reflection_pb2.ServerReflectionRequest
Stub = reflection_pb2_grpc.ServerReflectionStub


@pytest.fixture
async def stub(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stub]:
    listen = f"unix:{tmp_path_factory.mktemp('n')}/s"
    async with serving(listen), grpc.aio.insecure_channel(listen) as channel:
        yield Stub(channel)


async def answers(stub: Stub, requests: Iterable[Request]) -> list[reflection_pb2.ServerReflectionResponse]:
    """To all of them, on one stream."""
    return [answer async for answer in stub.ServerReflectionInfo(iter(requests), timeout=60)]


async def test_it_lists_what_is_served(stub: Stub) -> None:
    """The contract, and the two standard services."""
    (answer,) = await answers(stub, [Request(list_services="")])

    names = [service.name for service in answer.list_services_response.service]
    assert sorted([SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME]) == names


async def test_it_describes_a_contract_with_all_it_needs(
    stub: Stub,
) -> None:
    """Every file that a file imports comes with it."""
    (answer,) = await answers(stub, [Request(file_containing_symbol=SERVICE)])

    files = [
        FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto
    ]
    names = {file.name for file in files}
    assert SERVICE.rsplit(".", 1)[1] in {service.name for file in files for service in file.service}
    assert {needed for file in files for needed in file.dependency} <= names


async def test_a_conversation_goes_on(stub: Stub) -> None:
    """Request by request on one stream, as grpcurl speaks; what is not known is said."""
    call = stub.ServerReflectionInfo(timeout=60)
    await call.write(Request(list_services=""))
    first = await call.read()
    await call.write(Request(file_by_filename="no/such.proto"))
    second = await call.read()
    await call.done_writing()

    assert first.HasField("list_services_response")
    assert grpc.StatusCode.NOT_FOUND.value[0] == second.error_response.error_code
    assert grpc.aio.EOF is await call.read()
    assert grpc.StatusCode.OK is await call.code()


async def test_a_stream_may_not_ask_forever(stub: Stub) -> None:
    """RESOURCE_EXHAUSTED after the limit."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(stub, [Request(file_by_filename="x")] * (reflection.REQUESTS_MAX + 1))

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()


async def test_bytes_that_are_no_request_are_refused(tmp_path: Path) -> None:
    """INTERNAL, as grpcio says."""
    listen = f"unix:{tmp_path}/s"
    async with serving(listen), grpc.aio.insecure_channel(listen) as channel:
        call = channel.stream_stream(f"/{reflection.SERVICE_NAME}/ServerReflectionInfo")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [answer async for answer in call(iter([b"\xff\xff"]), timeout=10)]

    assert grpc.StatusCode.INTERNAL is caught.value.code()


def test_who_does_not_ask_does_not_pay() -> None:
    """A server of our own that serves, is healthy, and stops has not imported grpcio."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert "['no grpcio', 'SERVING']" == done.stdout.splitlines()[-1], done.stderr


ROOT = Path(__file__).resolve().parents[4]
PROGRAM = """
import asyncio, sys, tempfile
from meshgate_chassis.rpc import check_health
from tests.unit.chassis.native.public_service import serving

async def main():
    listen = f"unix:{tempfile.mkdtemp()}/s"
    async with serving(listen):
        healthy = await check_health(
            listen, tls=None, server_name="router", timeout_s=10, transport="native"
        )
    print(["grpcio" if "grpc" in sys.modules else "no grpcio", "SERVING" if healthy else "not"])

asyncio.run(main())
"""
