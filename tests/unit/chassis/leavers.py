"""A process that makes streams and leaves them; prints by how many bytes each made it grow.

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

from meshgate_chassis.rpc.on_grpcio.reading import StreamReader

WARM, COUNT, AT_ONCE = 4_000, 6_000, 16
MESSAGE_BYTES = 4_000


async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    while True:
        yield bytes(MESSAGE_BYTES)
        await asyncio.sleep(0.002)


async def serve(address: str) -> None:
    server = grpc.aio.server()
    methods = {"stream": grpc.unary_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", methods),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def leave(channel: grpc.aio.Channel) -> None:
    """After the first message, waiting for the second."""
    call = channel.unary_stream("/test.Peer/stream")(b"", timeout=60, wait_for_ready=True)
    reader = StreamReader(call)
    reading = asyncio.ensure_future(reader.read())
    await reader.next()
    waiting = asyncio.ensure_future(reader.next())
    await asyncio.sleep(0.001)
    waiting.cancel()
    await asyncio.wait([waiting])
    reader.end()
    await reading


async def leave_many(channel: grpc.aio.Channel, count: int) -> int:
    """The bytes in use afterwards."""
    left = iter(range(count))

    async def one_after_another() -> None:
        for _ in left:
            await leave(channel)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return resident_bytes()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/s"
        server = subprocess.Popen([sys.executable, __file__, address])
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                before = await leave_many(channel, WARM)
                print((await leave_many(channel, COUNT) - before) / COUNT)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]) if len(sys.argv) > 1 else main())
