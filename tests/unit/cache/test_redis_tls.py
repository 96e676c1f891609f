"""rediss:// is TLS with a checked certificate."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from meshgate_chassis.config.model import Secret
from meshgate_chassis.config.store_urls import redis_url as address_of
from meshgate_chassis.errors import MeshError
from meshgate_chassis.redis_client import redis_cluster_client
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


async def test_the_configuration_names_the_authority(
    redis_url: str, redis_server: RedisServer, authority: trustme.CA, tmp_path: Path
) -> None:
    """As LiteLLM's does: by members of cache_params, or by the environment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with tls_in_front_of(redis_server.port, context) as port:
        server = {"host": "127.0.0.1", "port": port, "ssl": True}
        trusted = {"ssl_ca_certs": str(tmp_path / "ca.pem"), "ssl_cert_reqs": "required"}
        for params, environ in (
            (server | trusted, {}),
            (server, {"REDIS_SSL_CA_CERTS": trusted["ssl_ca_certs"]}),
            (server | {"ssl_cert_reqs": "none"}, {}),
        ):
            address = address_of(params, environ)
            assert address is not None
            async with redis_store(address.value) as (store, _):
                await store.put(name(), ENTRY, TTL_S, LONG_S)
                assert ENTRY == await store.get(name(), LONG_S)


async def test_a_cluster_is_told_the_authority_too(tmp_path: Path, authority: trustme.CA) -> None:
    """Its client is not made from a URL."""
    url = Secret(f"rediss://h:1?ssl_ca_certs={tmp_path / 'ca.pem'}&ssl_check_hostname=False")
    client = redis_cluster_client(url, [("h", 1)], 1)

    told = client.connection_kwargs
    assert (str(tmp_path / "ca.pem"), False) == (told["ssl_ca_certs"], told["ssl_check_hostname"])
