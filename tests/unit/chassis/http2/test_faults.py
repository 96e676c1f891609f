"""Both our ends, with a proxy between them that chops, stalls and drops; and what is left afterwards."""

import asyncio
import contextlib
import gc
import random
import tempfile
from pathlib import Path

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc.http2.calls import IncomingCall
from meshgate_chassis.rpc.http2.client import Address, ClientConnection, ClientStream, open_connection
from tests.support.eventually import eventually
from tests.unit.chassis.http2.support import (
    CALL_S,
    ECHO,
    HANG,
    MANY,
    all_of,
    cycles_of,
    head,
    objects,
    on_both_loops,
    our_server,
)


class Proxy:
    """Passes bytes on in pieces, with pauses, and drops both ends after so many of them."""

    def __init__(self, target: Address, chance: random.Random, bytes_max: int) -> None:
        self._target, self._chance, self._left = target, chance, bytes_max

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_unix_connection(self._target.path)
        ways = [self._pass_on(reader, target_writer), self._pass_on(target_reader, writer)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for each in (writer, target_writer):
            each.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                while data and self._left > 0:
                    cut = self._chance.choice([1, 8, 9, 10, 500, 1 << 16])
                    writer.write(data[:cut])
                    self._left -= len(data[:cut])
                    data = data[cut:]
                    if self._chance.random() < 0.2:
                        await asyncio.sleep(0)
                await writer.drain()
                if self._left <= 0:
                    return
        except ConnectionError:
            return


async def proxied(server: Address, folder: str, chance: random.Random, bytes_max: int) -> ClientConnection:
    path = str(Path(folder, "p"))
    proxy = await asyncio.start_unix_server(Proxy(server, chance, bytes_max).serve, path)
    client = await open_connection(Address("", 0, path), tls=None, server_name=None)
    proxy.close()
    return client


@pytest.mark.parametrize("seed", range(12))
@on_both_loops
async def test_calls_end_once_whatever_the_network_does(seed: int) -> None:
    """Right answers as long as the bytes pass; then CONNECTION_LOST, and nothing is left on either side."""
    chance = random.Random(seed)
    bytes_max = chance.choice([10_000, 300_000, 10**9])
    async with our_server() as server:
        with tempfile.TemporaryDirectory() as folder:
            client = await proxied(server.address, folder, chance, bytes_max)

            async def one(number: int) -> str:
                if not client.usable:
                    return "not made"
                size = chance.choice([0, 9, 3_000, 100_000])
                try:
                    if number % 3:
                        assert b"x" * size == await client.call(head(ECHO), b"x" * size, CALL_S).answer()
                    else:
                        assert 50 == len(await all_of(client.call(head(MANY), b"50", CALL_S)))
                except MeshError as error:
                    return error.reason
                return "well"

            told = await asyncio.gather(*[one(number) for number in range(20)])
            assert {"well", "CONNECTION_LOST", "not made"} >= set(told)
            if bytes_max == 10**9:
                assert {"well"} == set(told)
            client.close()
            await client.gone
        await eventually(lambda: server.lost and not server.limit.count, "the server's end is gone, too")


@on_both_loops
async def test_nothing_is_left_of_calls_and_no_cycles() -> None:
    """Well ended, failed, cancelled, expired: their objects go with the last reference."""
    async with our_server() as server:
        client = await server.client()

        async def calls() -> None:
            assert b"x" == await client.call(head(ECHO), b"x", CALL_S).answer()
            assert 3 == len(await all_of(client.call(head(MANY), b"3", CALL_S)))
            for path, timeout_s in (("/t.S/None", CALL_S), (HANG, 0.01)):
                with contextlib.suppress(MeshError):
                    await client.call(head(path), b"x", timeout_s).answer()
            stream = client.call(head(HANG), b"x", CALL_S)
            await asyncio.sleep(0)
            stream.cancel()

        await calls()
        gc.collect()  # what other tests left behind
        gc.disable()
        before = objects(ClientStream, IncomingCall)
        try:
            for _ in range(20):
                await calls()
            await eventually(lambda: not server.limit.count and not client.calls, "all are over")
            await eventually(lambda: objects(ClientStream, IncomingCall) <= before + 1, "none is left")
            assert [] == cycles_of(ClientStream, IncomingCall, MeshError)
        finally:
            gc.enable()
        assert 1 == len([task for task in asyncio.all_tasks() if not task.done()])
        client.close()
        await client.gone
