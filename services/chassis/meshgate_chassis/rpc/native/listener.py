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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from meshgate_chassis.rpc.http2.client import ALPN, Address
from meshgate_chassis.rpc.http2.limits import HANDSHAKE_S
from meshgate_chassis.rpc.identity import TlsFiles

UNIX: Final = "unix:"
PORT_MAX: Final = 65_535
BACKLOG_MAX: Final = 1_024  # connections that wait to be accepted
GOODBYE_S: Final = 0.5  # of TLS, which wants an answer that not every peer gives
NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a name may have addresses of other machines


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
        limits: dict[str, Any] = {"backlog": BACKLOG_MAX}
        if tls is not None:
            limits |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": GOODBYE_S}
        if address.path:
            server = await loop.create_unix_server(made, sock=unix_socket(address.path), ssl=tls, **limits)
            return cls([server], SocketFile(address.path))
        sockets = await tcp_sockets(address)
        return cls([await loop.create_server(made, sock=each, ssl=tls, **limits) for each in sockets], None)

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
    if not host or not 0 <= int(port) <= PORT_MAX:
        raise ValueError(f"{listen!r} is not host:port")
    return Address(host.strip("[]"), int(port))


async def tcp_sockets(address: Address) -> list[socket.socket]:
    """Listening, one for each address of the host; a wildcard means IPv4 and IPv6. Raises OSError."""
    if _is_wildcard(address.host):
        # Two sockets and not one for both, where IPv4 clients would have addresses of IPv6.
        return _bound([(socket.AF_INET6, ("::", address.port)), (socket.AF_INET, ("", address.port))])
    found = await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return _bound([(family, where) for family, _, _, _, where in dict.fromkeys(found)])


def unix_socket(path: str) -> socket.socket:
    """Listening; a file that nobody listens at any more is replaced. Raises OSError."""
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
        bound.listen(BACKLOG_MAX)
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


def _bound(places: Sequence[tuple[socket.AddressFamily, tuple[Any, ...]]]) -> list[socket.socket]:
    """A socket for each place that this machine has, if it has one at all."""
    bound: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        for family, where in places:
            try:
                bound.append(_tcp_socket(family, where))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                lacking = error
        if lacking is not None and not bound:
            raise lacking
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _tcp_socket(family: socket.AddressFamily, where: tuple[Any, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # For the connections of a server that was here before; two that listen it does not allow.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted has it, too: a client that vanished while it asked nothing is noticed one day.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
        bound.listen(BACKLOG_MAX)  # already here: until one listens, two may be bound
    except OSError:
        bound.close()
        raise
    return bound


def _in_use(path: str) -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the file that is there now."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
