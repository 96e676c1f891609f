"""Where a server listens: addresses, Unix sockets, TLS.

Invariants: an address belongs to one server at a time; a socket file that nobody serves any more is replaced,
and removed by who made it.
"""

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from meshgate_chassis.rpc.http2.client import ALPN, Address
from meshgate_chassis.rpc.http2.limits import HANDSHAKE_S
from meshgate_chassis.rpc.identity import TlsFiles

UNIX: Final = "unix:"
BACKLOG_MAX: Final = 1_024  # connections that wait to be accepted
NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Listener:
    """Accepts connections until it is closed; those that were accepted go on."""

    def __init__(self, servers: list[asyncio.Server], socket_file: "SocketFile | None") -> None:
        self._servers = servers
        self._socket_file = socket_file

    @classmethod
    async def open(
        cls, listen: str, made: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> Self:
        """On "host:port" (every address of the host) or "unix:/path"; `made` makes a connection's protocol.

        Raises OSError, and ValueError for what is no address.
        """
        loop, address = asyncio.get_running_loop(), listen_address(listen)
        handshake_s = None if tls is None else HANDSHAKE_S
        if address.path:
            bound = unix_socket(address.path)
            server = await loop.create_unix_server(
                made, sock=bound, backlog=BACKLOG_MAX, ssl=tls, ssl_handshake_timeout=handshake_s
            )
            return cls([server], SocketFile(address.path))
        servers: list[asyncio.Server] = []
        for bound in await tcp_sockets(address):
            server = await loop.create_server(
                made, sock=bound, backlog=BACKLOG_MAX, ssl=tls, ssl_handshake_timeout=handshake_s
            )
            servers.append(server)
        return cls(servers, None)

    def close(self) -> None:
        """No more connections are accepted, and the address is free."""
        for server in self._servers:
            server.close()
        if self._socket_file is not None:
            self._socket_file.remove()


class SocketFile:
    """The file of a Unix socket that was bound just now."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._made = _identity(self._path)

    def remove(self) -> None:
        """Unless somebody put another one in its place."""
        if self._made is not None and _identity(self._path) == self._made:
            self._path.unlink(missing_ok=True)


def listen_address(listen: str) -> Address:
    """ "host:port", "[::]:port", "unix:path" or "unix:///path". Raises ValueError."""
    if listen.startswith(UNIX):
        path = listen.removeprefix(UNIX)
        if path.startswith("//"):
            path = path.removeprefix("//")
        if not path:
            raise ValueError("a Unix socket needs a path")
        return Address("", 0, path)
    host, _, port = listen.rpartition(":")
    if not host:
        raise ValueError(f"{listen!r} is not host:port")
    return Address(host.strip("[]"), int(port))


async def tcp_sockets(address: Address) -> list[socket.socket]:
    """Bound, one for each address of the host; a wildcard takes IPv4 and IPv6. Raises OSError."""
    if _is_wildcard(address.host):
        return [_wildcard_socket(address.port)]
    found = await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    lacking: OSError | None = None
    for family, _, _, _, where in dict.fromkeys(found):
        try:
            bound.append(_tcp_socket(family, where, both=False))
        except OSError as error:
            if error.errno not in NO_IPV6:  # a name may have an address that this machine does not
                _close(bound)
                raise
            lacking = error
    if not bound:
        raise lacking or OSError(f"{address.host} has no address")
    return bound


def unix_socket(path: str) -> socket.socket:
    """Bound; a file that nobody listens at any more is replaced. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            if Path(path).is_socket():
                Path(path).unlink(missing_ok=True)
        except BlockingIOError as error:  # it has so many waiting that it takes no more
            raise _in_use(path) from error
        else:
            raise _in_use(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
    except OSError:
        bound.close()
        raise
    return bound


def server_tls(files: TlsFiles) -> ssl.SSLContext:
    """Clients have to show a certificate of the same authority. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)
    context.set_alpn_protocols([ALPN])
    return context


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _wildcard_socket(port: int) -> socket.socket:
    try:
        return _tcp_socket(socket.AF_INET6, ("::", port), both=True)
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
    return _tcp_socket(socket.AF_INET, ("", port), both=False)


def _tcp_socket(family: int, where: tuple[object, ...], *, both: bool) -> socket.socket:
    """`both`: a socket of IPv6 takes IPv4 as well."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # For the connections of a server that was here before; two that listen it does not allow.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        bound.bind(where)
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _in_use(path: str) -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the file that is there now."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
