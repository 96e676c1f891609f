"""With grpcio as the other end, in both roles."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc.http2.client import Address, ClientConnection, open_connection
from meshgate_chassis.rpc.http2.limits import Times
from tests.support.eventually import eventually
from tests.unit.chassis.http2.support import CALL_S, ECHO, HANG, MANY, all_of, head, on_both_loops, our_server


@asynccontextmanager
async def grpcio_server(*options: tuple[str, int]) -> AsyncIterator[tuple[Address, grpc.aio.Server]]:
    """Echo, Many and Hang."""

    async def echo(request: bytes, context: Any) -> bytes:
        if request == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing ü")
        return request

    async def many(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(int(request)):
            yield b"m" * 10_000

    async def hang(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    server = grpc.aio.server(options=options)
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.S", handlers),))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "g"))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield Address("", 0, path), server
        finally:
            await server.stop(None)


@on_both_loops
async def test_our_client_calls_a_server_of_grpcio() -> None:
    """Small and large, one message and many, a status, a deadline, a cancellation."""
    async with grpcio_server() as (address, _):
        client = await open_connection(address, tls=None, server_name=None)
        for size in (0, 1, 100_000, 3_000_000):
            assert b"x" * size == await client.call(head(ECHO), b"x" * size, CALL_S).answer()
        assert 300 == len(await all_of(client.call(head(MANY), b"300", CALL_S)))
        with pytest.raises(MeshError, match="nothing ü"):
            await client.call(head(ECHO), b"abort", CALL_S).answer()
        with pytest.raises(MeshError, match="UNIMPLEMENTED"):
            await client.call(head("/t.S/None"), b"", CALL_S).answer()
        with pytest.raises(MeshError, match="DEADLINE_EXCEEDED"):
            await client.call(head(HANG), b"", 0.05).answer()
        stream = client.call(head(MANY), b"100000", CALL_S)
        assert await stream.next() is not None
        stream.cancel()
        assert b"still" == await client.call(head(ECHO), b"still", CALL_S).answer()
        assert 0 == client.calls
        client.close()
        await client.gone


@on_both_loops
async def test_a_client_of_grpcio_calls_our_server() -> None:
    """The same the other way round."""
    async with our_server() as server:
        async with grpc.aio.insecure_channel(f"unix:{server.address.path}") as channel:
            echo, many = channel.unary_unary(ECHO), channel.unary_stream(MANY)
            for size in (0, 1, 100_000, 3_000_000):
                assert b"x" * size == await echo(b"x" * size, timeout=CALL_S)
            assert 500 == len([message async for message in many(b"500", timeout=CALL_S)])
            for path, code, timeout_s in (
                ("/t.S/None", grpc.StatusCode.UNIMPLEMENTED, CALL_S),
                (HANG, grpc.StatusCode.DEADLINE_EXCEEDED, 0.05),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await channel.unary_unary(path)(b"", timeout=timeout_s)
                assert code is raised.value.code()
            call = many(b"1000000", timeout=CALL_S)
            assert await call.read()
            call.cancel()
            await eventually(lambda: not server.limit.count, "its handler was cancelled")
            with pytest.raises(grpc.aio.AioRpcError):
                await echo(b"x", timeout=CALL_S, compression=grpc.Compression.Gzip)
            assert b"still" == await echo(b"still", timeout=CALL_S)


@on_both_loops
async def test_a_graceful_leave_loses_no_call_of_grpcio_clients() -> None:
    """While they call without a pause; those that come later go to who listens then."""
    async with our_server() as server:
        async with grpc.aio.insecure_channel(f"unix:{server.address.path}") as channel:
            echo, stop = channel.unary_unary(ECHO), asyncio.Event()

            async def calls() -> int:
                count = 0
                while not stop.is_set():
                    assert b"x" == await echo(b"x", timeout=CALL_S)
                    count += 1
                return count

            callers = [asyncio.create_task(calls()) for _ in range(10)]
            for leaves in range(1, 6):
                await eventually(
                    lambda leaves=leaves: len(server.connections) >= leaves, "they are connected"
                )
                begun = server.handlers.begun
                await eventually(lambda begun=begun: server.handlers.begun > begun + 20, "they call")
                server.connections[-1].go_away()
                await eventually(lambda leaves=leaves: len(server.lost) >= leaves, "it has left")
            stop.set()
            counts = await asyncio.gather(*callers)
            assert sum(counts) == server.handlers.begun


@on_both_loops
async def test_pings_at_the_pace_that_our_servers_allow_do_not_end_a_silent_call() -> None:
    """grpcio gives up who pings more often than every KEEPALIVE_TIME / 2 (on_grpcio/options.py); we ask every
    KEEPALIVE_TIME at most."""
    times = Times(look_s=0.1, silent_until_ping_s=0.2, silent_until_gone_s=5.0)
    async with grpcio_server(("grpc.http2.min_ping_interval_without_data_ms", 100)) as (address, _):
        loop = asyncio.get_running_loop()
        _, client = await loop.create_unix_connection(lambda: ClientConnection(times), address.path)
        await client.ready
        with pytest.raises(MeshError, match="DEADLINE_EXCEEDED"):
            await client.call(head(HANG), b"", 2.5).answer()
        assert client.usable
        client.close()
        await client.gone
