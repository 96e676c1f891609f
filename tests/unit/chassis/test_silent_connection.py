"""A connection on which nothing passes for long, while calls wait on it: a model that thinks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
import pytest

from meshgate_chassis.rpc.http2.client import ClientConnection
from meshgate_chassis.rpc.http2.headers import block
from meshgate_chassis.rpc.http2.limits import Times
from meshgate_chassis.rpc.on_grpcio import options
from meshgate_chassis.rpc.options import KEEPALIVE_TIME_MS

QUICKER = 10  # than in earnest; gRPC pings no sooner than after a second
PINGS = 8  # a server that counts them closes the connection after four
TIMES = ("grpc.keepalive_time_ms", "grpc.http2.min_ping_interval_without_data_ms")
Ask = Callable[[str], Awaitable[bytes]]
HEAD = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Model/Think"),
    (":authority", "model"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


def quicker(earnest: Sequence[tuple[str, int | str]]) -> list[tuple[str, int | str]]:
    """The same rules, for a fraction of the time."""
    return [(name, int(value) // QUICKER if name in TIMES else value) for name, value in earnest]


async def ask_with_grpcio(path: str) -> bytes:
    async with grpc.aio.insecure_channel(f"unix:{path}", options=quicker(options.CHANNEL)) as channel:
        answer: bytes = await channel.unary_unary("/test.Model/Think")(b"a question", timeout=60)
        return answer


async def ask_with_our_own(path: str) -> bytes:
    silent_s = KEEPALIVE_TIME_MS / 1_000 / QUICKER
    times = Times(look_s=silent_s / 2, silent_until_ping_s=silent_s, silent_until_gone_s=2 * silent_s)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(partial(ClientConnection, times), path)
    await connection.ready
    try:
        return await connection.call(block(HEAD), b"a question", 60.0).answer()
    finally:
        connection.close()
        await connection.gone


@pytest.mark.parametrize("ask", [ask_with_grpcio, ask_with_our_own])
async def test_a_silent_call_is_not_cut_for_its_pings(tmp_path: Path, ask: Ask) -> None:
    """Our own keepalive is no abuse to our own server."""
    silence_s = PINGS * KEEPALIVE_TIME_MS / 1_000 / QUICKER

    async def think(request: bytes, _: object) -> bytes:
        await asyncio.sleep(silence_s)
        return request

    server = grpc.aio.server(options=quicker(options.SERVER))
    handlers = {"Think": grpc.unary_unary_rpc_method_handler(think)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Model", handlers),))
    path = f"{tmp_path}/model.sock"
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        assert b"a question" == await ask(path)
    finally:
        await server.stop(0)
