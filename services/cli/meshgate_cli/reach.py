"""Whether the stores that the environment names answer. Never shows a password."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

TIMEOUT_S = 3.0
POSTGRES_PORT = 5432
REDIS_PORT = 6379


@dataclass(frozen=True, slots=True)
class Store:
    """`host` is a folder when it begins with a slash: a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def postgres_in(environ: Mapping[str, str]) -> Store | None:
    """Of DATABASE_URL; None: not set."""
    if not environ.get("DATABASE_URL"):
        return None
    parts = urlsplit(environ["DATABASE_URL"])
    host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
    return Store(host, parts.port or POSTGRES_PORT)


def redis_in(environ: Mapping[str, str]) -> Store | None:
    """Of REDIS_URL, or REDIS_HOST and REDIS_PORT; None: not set."""
    if environ.get("REDIS_URL"):
        parts = urlsplit(environ["REDIS_URL"])
        return Store(parts.hostname or "localhost", parts.port or REDIS_PORT)
    if environ.get("REDIS_HOST"):
        return Store(environ["REDIS_HOST"], int(environ.get("REDIS_PORT") or REDIS_PORT))
    return None


def problem_reaching(store: Store) -> str | None:
    """Why nothing answers there; None: something does."""
    try:
        if store.host.startswith("/"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(f"{store.host}/.s.PGSQL.{store.port}")
        else:
            socket.create_connection((store.host, store.port), TIMEOUT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
