"""A process that makes streams and leaves them; prints by how many bytes each made it grow.

    python leavers.py native|grpcio

See test_reading.py, which runs it. The server is a process of its own.
"""

import asyncio
import gc
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import BytesValue

from meshgate_chassis.rpc import Identity, connect
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import StreamCall, StreamMethod

WARM, COUNT, AT_ONCE = 4_000, 6_000, 16
MESSAGE = BytesValue(value=bytes(4_000)).SerializeToString()
STREAM = StreamMethod("/test.Peer/stream", BytesValue, BytesValue)


async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    while True:
        yield MESSAGE
        await asyncio.sleep(0.002)


async def serve(address: str) -> None:
    server = grpc.aio.server()
    methods = {"stream": grpc.unary_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", methods),))
    server.add_insecure_port(address)
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def leave(call: StreamCall[BytesValue, BytesValue]) -> None:
    """After the first message, waiting for the second."""
    messages = call(BytesValue(), timeout_s=60)
    await anext(messages)
    waiting = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0.001)
    waiting.cancel()
    await asyncio.wait([waiting])


async def leave_many(call: StreamCall[BytesValue, BytesValue], count: int) -> int:
    """The bytes in use afterwards."""
    left = iter(range(count))

    async def one_after_another() -> None:
        for _ in left:
            await leave(call)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return resident_bytes()


async def main(transport: Transport) -> None:
    edge, off = Identity("edge", b"a secret of the mesh, for tests"), Telemetry(None)
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/s"
        server = subprocess.Popen([sys.executable, __file__, "serve", address], stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            assert server.stdout.readline(), "it serves"
            channel = connect(address, callee="peer", identity=edge, telemetry=off, transport=transport)
            call = channel.stream(STREAM)
            before = await leave_many(call, WARM)
            print((await leave_many(call, COUNT) - before) / COUNT)
            await channel.close()
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(sys.argv[2]))
    else:
        asyncio.run(main("native" if sys.argv[1] == "native" else "grpcio"))
