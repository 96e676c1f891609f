"""A connection on which nothing passes for long, while calls wait on it: a model that thinks."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio

from meshgate_chassis.rpc.on_grpcio import options
from meshgate_chassis.rpc.options import KEEPALIVE_TIME_MS

QUICKER = 10  # than in earnest; gRPC pings no sooner than after a second
PINGS = 8  # a server that counts them closes the connection after four
TIMES = ("grpc.keepalive_time_ms", "grpc.http2.min_ping_interval_without_data_ms")


def quicker(earnest: Sequence[tuple[str, int | str]]) -> list[tuple[str, int | str]]:
    """The same rules, for a fraction of the time."""
    return [(name, int(value) // QUICKER if name in TIMES else value) for name, value in earnest]


async def test_a_silent_call_is_not_cut_for_its_pings(tmp_path: Path) -> None:
    """Our own keepalive is no abuse to our own server."""
    silence_s = PINGS * KEEPALIVE_TIME_MS / 1_000 / QUICKER

    async def think(request: bytes, _: object) -> bytes:
        await asyncio.sleep(silence_s)
        return request

    server = grpc.aio.server(options=quicker(options.SERVER))
    handlers = {"Think": grpc.unary_unary_rpc_method_handler(think)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Model", handlers),))
    target = f"unix:{tmp_path}/model.sock"
    server.add_insecure_port(target)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(target, options=quicker(options.CHANNEL)) as channel:
            assert b"a question" == await channel.unary_unary("/test.Model/Think")(b"a question", timeout=60)
    finally:
        await server.stop(0)
