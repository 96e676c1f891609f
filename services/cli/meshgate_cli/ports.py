"""Which TCP ports can be had."""

import errno
import socket
from dataclasses import dataclass

PORT_OF_EVERYBODY_MIN = 1_024
PORT_MAX = 65_535


def free_port(host: str) -> int:
    """A port that nobody listens on at this moment."""
    with _bound(host, 0) as listener:
        port: int = listener.getsockname()[1]
    return port


@dataclass(frozen=True, slots=True)
class PortProblem:
    """`of_port`: another port would do; else the host is none of this machine's."""

    reason: str
    of_port: bool


def port_problem(host: str, port: int) -> PortProblem | None:
    """Why nobody can listen there; None: one can."""
    try:
        _bound(host, port).close()
    except OSError as error:
        return PortProblem(error.strerror or str(error), error.errno in (errno.EADDRINUSE, errno.EACCES))
    return None


def another_port(port: int) -> int:
    """One to propose: near, and allowed to everybody."""
    if port < PORT_OF_EVERYBODY_MIN:
        return port + 8_000
    return port + 10 if port + 10 <= PORT_MAX else port - 10


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener
