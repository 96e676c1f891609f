"""Which TCP ports can be had."""

import socket


def free_port(host: str) -> int:
    """A port that nobody listens on at this moment."""
    with _bound(host, 0) as listener:
        port: int = listener.getsockname()[1]
    return port


def port_problem(host: str, port: int) -> str | None:
    """Why nobody can listen there; None: one can."""
    try:
        _bound(host, port).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


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
