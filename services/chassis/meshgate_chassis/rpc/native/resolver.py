"""Where a service listens: from a target, as gRPC writes them, to addresses.

    host:port  [::1]:port  dns:///name:port  ipv4:1.2.3.4:port,...  ipv6:[::1]:port,...  unix:/path  unix:path

A name of several addresses is a service of several replicas. Addresses and sockets need no look-up.
"""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2.client import Address

ADDRESSES_MAX: Final = 256  # of one service; each costs a connection. More are left out.


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses that are known, or a `name` that has to be looked up."""

    known: tuple[Address, ...] = ()
    name: str = ""
    port: int = 0


def parse_target(text: str) -> Target:
    """Raises FAILED_PRECONDITION/ADDRESS_INVALID."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "unix":
        path = rest[2:] if rest.startswith("///") else rest
        if not path or path.startswith("//"):
            raise _invalid(text)
        return Target(known=(Address("", 0, path),))
    if colon and scheme in ("ipv4", "ipv6"):
        return Target(known=tuple(_literal(text, part) for part in rest.split(",")))
    if colon and scheme == "dns":
        rest = rest.rpartition("/")[2] if rest.startswith("//") else rest
    else:
        rest = text
    host, port = _host_and_port(text, rest)
    if is_literal(host):
        return Target(known=(Address(host, port),))
    return Target(name=host, port=port)


def is_literal(host: str) -> bool:
    """True for an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def addresses_of(target: Target) -> list[Address]:
    """Without repetitions, in the system's order. Takes as long as the system's look-up; raises OSError."""
    if target.known:
        return list(dict.fromkeys(target.known))[:ADDRESSES_MAX]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.name, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # longer than a name can be, or with an empty part
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from error
    addresses = dict.fromkeys(Address(str(sockaddr[0]), target.port) for *_, sockaddr in found)
    return list(addresses)[:ADDRESSES_MAX]


def _literal(text: str, part: str) -> Address:
    host, port = _host_and_port(text, part)
    if not is_literal(host):
        raise _invalid(text)
    return Address(host, port)


def _host_and_port(text: str, part: str) -> tuple[str, int]:
    host, _, port = part.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()):
        raise _invalid(text)
    number = int(port[:6])
    if not 0 < number < 65_536:
        raise _invalid(text)
    return host, number


def _invalid(text: str) -> MeshError:
    return MeshError(
        Code.FAILED_PRECONDITION,
        "ADDRESS_INVALID",
        f'{text!r} is no address: write "host:port", "dns:///name:port" or "unix:/path"',
    )
