"""Addresses belong to one server at a time; TLS wants certificates of both ends."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import cast

import pytest
import trustme
from prometheus_client import CollectorRegistry

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc import Identity, Server, ServerOptions, TlsFiles
from meshgate_chassis.rpc.http2.client import Address
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.native.listener import Listener, listen_address, server_tls
from meshgate_chassis.rpc.transport import Transport
from meshgate_chassis.telemetry import Telemetry
from tests.unit.chassis.rpc_mesh import TRANSPORTS, issue


class Greeter(asyncio.Protocol):
    """Says hello and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writer = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        writer.write(b"hello")
        writer.close()


async def greeted(where: str | tuple[str, int]) -> bytes:
    """By whoever listens there."""
    if isinstance(where, str):
        reader, writer = await asyncio.open_unix_connection(where)
    else:
        reader, writer = await asyncio.open_connection(*where)
    try:
        return await reader.read()
    finally:
        writer.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("localhost:1", Address("localhost", 1)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
        ("[::]:50051", Address("::", 50051)),
        ("unix:/a/b", Address("", 0, "/a/b")),
        ("unix:///a/b", Address("", 0, "/a/b")),
        ("unix:a/b", Address("", 0, "a/b")),
    ],
)
def test_addresses_are_read(listen: str, address: Address) -> None:
    """As grpcio reads them."""
    assert address == listen_address(listen)


@pytest.mark.parametrize(
    "listen", ["", "localhost", ":1", "localhost:", "localhost:http", "localhost:99999", "unix:", "1"]
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"host:port|invalid literal|needs a path"):
        listen_address(listen)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("listen", ["nonsense", "no.such.host.invalid:1", "unix:/no/such/folder/s"])
async def test_where_nothing_can_listen_the_start_fails(transport: Transport, listen: str) -> None:
    """LISTEN_FAILED, with the address."""
    with pytest.raises(MeshError) as caught:
        async with server(listen, transport):
            pass

    assert "LISTEN_FAILED" == caught.value.reason
    assert listen in caught.value.message


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::]", "0.0.0.0"])
async def test_a_port_belongs_to_one_server(transport: Transport, host: str) -> None:
    """A second one is a mistake, on whichever transport; when the first has gone, the port is free."""
    listen = f"{host}:{free_port()}"
    async with server(listen, "native"):
        with pytest.raises(MeshError) as caught:
            async with server(listen, transport):
                pass
        assert "LISTEN_FAILED" == caught.value.reason
    async with server(listen, "native"):
        pass


async def test_a_wildcard_and_an_address_of_it_are_the_same_place() -> None:
    """Who has the one keeps others from the other."""
    port = free_port()
    async with server(f"127.0.0.1:{port}", "native"):
        with pytest.raises(MeshError):
            async with server(f"[::]:{port}", "native"):
                pass
    async with server(f"[::]:{port}", "native"):
        with pytest.raises(MeshError):
            async with server(f"127.0.0.1:{port}", "native"):
                pass


async def test_a_socket_file_belongs_to_one_server(tmp_path: Path) -> None:
    """It is not taken from one who listens."""
    path = tmp_path / "s"
    first = await Listener.open(f"unix:{path}", Greeter, None)
    with pytest.raises(OSError, match="in use"):
        await Listener.open(f"unix:{path}", Greeter, None)

    assert b"hello" == await greeted(str(path))
    first.close()
    assert not path.exists()


async def test_a_socket_file_that_nobody_serves_is_replaced(tmp_path: Path) -> None:
    """A server that was killed leaves one."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert path.is_socket()

    listener = await Listener.open(f"unix:{path}", Greeter, None)

    assert b"hello" == await greeted(str(path))
    listener.close()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """Whatever it is, it is not ours."""
    path = tmp_path / "s"
    path.write_text("precious")

    with pytest.raises(OSError, match="in use"):
        await Listener.open(f"unix:{path}", Greeter, None)

    assert "precious" == path.read_text()


async def test_who_closes_leaves_the_file_of_another_alone(tmp_path: Path) -> None:
    """Somebody removed ours and listens there now."""
    path = tmp_path / "s"
    first = await Listener.open(f"unix:{path}", Greeter, None)
    path.unlink()
    second = await Listener.open(f"unix:{path}", Greeter, None)

    first.close()

    assert b"hello" == await greeted(str(path))
    second.close()


async def test_what_was_bound_is_free_again_when_the_rest_fails() -> None:
    """Of a wildcard's two sockets, one is in use."""
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await Listener.open(f"[::]:{port}", Greeter, None)
    listener = await Listener.open(f"[::1]:{port}", Greeter, None)

    assert b"hello" == await greeted(("::1", port))
    listener.close()


@pytest.mark.parametrize("own", ["none", "other", "right"])
async def test_clients_show_a_certificate_of_our_authority(tmp_path: Path, own: str) -> None:
    """None, or one of another authority, and no byte is exchanged."""
    authority, other = trustme.CA(), trustme.CA()
    (tmp_path / "o").mkdir()
    files = issue(authority, "router", tmp_path)
    path = tmp_path / "s"
    listener = await Listener.open(f"unix:{path}", Greeter, server_tls(files))
    context = ssl.create_default_context(cafile=str(files.ca))
    if own != "none":
        shown = issue(authority if own == "right" else other, "edge", tmp_path / "o")
        context.load_cert_chain(shown.certificate, shown.key)

    assert (b"hello" if own == "right" else b"") == await said_to(path, context)
    listener.close()


async def said_to(path: Path, context: ssl.SSLContext) -> bytes:
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), ssl=context, server_hostname="router")
        try:
            return await reader.read()
        finally:
            writer.close()
    except (ssl.SSLError, ConnectionError):
        return b""


@pytest.mark.parametrize("kind", ["missing", "nonsense"])
async def test_files_of_tls_that_cannot_be_used_fail_the_start(tmp_path: Path, kind: str) -> None:
    """LISTEN_FAILED, and not a server without TLS."""
    files = issue(trustme.CA(), "router", tmp_path)
    files.key.unlink() if kind == "missing" else files.key.write_text("nonsense")

    with pytest.raises(MeshError) as caught:
        async with server(f"unix:{tmp_path}/s", "native", files):
            pass

    assert "LISTEN_FAILED" == caught.value.reason


def server(listen: str, transport: Transport, tls: TlsFiles | None = None) -> Server:
    """With nothing on it."""
    options = ServerOptions(
        listen, Identity("router", b"a secret", tls), plaintext_allowed=True, drain_grace_s=0.2
    )
    return Server(options, Telemetry(None), RpcMetrics(CollectorRegistry()), transport=transport)
