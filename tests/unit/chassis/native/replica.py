"""A replica as a process: serves the router's contract and names itself in every answer.

python replica.py native|grpcio TARGET NAME
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from prometheus_client import CollectorRegistry

from meshgate_chassis.rpc import Identity, Server, ServerOptions, TlsFiles
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceServicer
from meshgate_protos.rpc import Call

SECRET = b"a secret of the mesh, for tests"
ROOT = Path(__file__).resolve().parents[4]


class Replica(RouterServiceServicer):
    """Answers with its name. A call whose id is "hold" waits until it is let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.called = 0
        self.answered = 0
        self.cancelled = 0
        self.let_go = asyncio.Event()

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        self.called += 1
        if request.request_id == "hold":
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        self.answered += 1
        return pb.CreateChatResponse(served_by=pb.ServedBy(provider=self.name))

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        self.called += 1
        try:
            yield pb.StreamChatResponse(started=pb.Started())
            await self.let_go.wait()
            self.answered += 1
            yield pb.StreamChatResponse(finished=pb.Finished())
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise


Replica.__abstractmethods__ = frozenset()  # other methods of the contract are never called


def server_of(
    replica: Replica,
    target: str,
    transport: Transport,
    drain_grace_s: float = 20.0,
    tls: TlsFiles | None = None,
) -> Server:
    """Not entered yet."""
    options = ServerOptions(target, Identity("router", SECRET, tls), drain_grace_s=drain_grace_s)
    server = Server(options, Telemetry(None), RpcMetrics(CollectorRegistry()), transport)
    server.add(replica)
    return server


@contextmanager
def replica_process(transport: Transport, target: str, name: str) -> Iterator[Popen[bytes]]:
    """Serving; killed in the end."""
    process = Popen([sys.executable, __file__, transport, target, name], stdout=PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "it serves"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def main(transport: Transport, target: str, name: str) -> None:
    async with server_of(Replica(name), target, transport):
        print("serving", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main("native" if sys.argv[1] == "native" else "grpcio", sys.argv[2], sys.argv[3]))
