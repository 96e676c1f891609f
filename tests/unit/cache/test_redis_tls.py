"""rediss:// is TLS with a checked certificate."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from meshgate_chassis.errors import MeshError
from tests.support.redis_server import RedisServer
from tests.unit.cache.store_suite import ENTRY, LONG_S, TTL_S, name
from tests.unit.cache.test_redis_store import redis_store


@asynccontextmanager
async def tls_in_front_of(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A TLS port whose bytes go to a plain port: the servers in the wheels have no TLS of their own."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


async def test_redis_behind_tls(
    redis_url: str, redis_server: RedisServer, authority: trustme.CA, tmp_path: Path
) -> None:
    """A server with a certificate of the CA is used; one that nobody vouches for is not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with tls_in_front_of(redis_server.port, context) as port:
        known = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
        async with redis_store(known) as (store, _):
            await store.put(name(), ENTRY, TTL_S, LONG_S)
            assert ENTRY == await store.get(name(), LONG_S)
        async with redis_store(f"rediss://127.0.0.1:{port}/0") as (store, _):
            with pytest.raises(MeshError) as caught:
                await store.get(name(), LONG_S)

    assert "STORE_UNAVAILABLE" == caught.value.reason
