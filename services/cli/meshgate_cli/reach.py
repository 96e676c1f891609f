"""Whether the stores that a start would use answer. Never shows a password."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

from meshgate_chassis.config.model import GatewayConfig

TIMEOUT_S = 3.0
POSTGRES_PORT = 5432
REDIS_PORT = 6379


@dataclass(frozen=True, slots=True)
class Store:
    """`host` begins with a slash: PostgreSQL's folder of Unix sockets or, with port 0, a socket itself."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def socket_file(self) -> str:
        """Of a host that begins with a slash."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.port else self.host


class AddressError(Exception):
    """What names a store cannot be meant. The message is for a person and shows no part of it."""


def postgres_in(environ: Mapping[str, str]) -> Store | None:
    """Of DATABASE_URL; None: not set. Raises AddressError."""
    url = environ.get("DATABASE_URL")
    return postgres_at(url, "DATABASE_URL") if url else None


def postgres_at(url: str, name: str) -> Store:
    """`name`: what the person who gave it calls it. Raises AddressError."""
    parts = urlsplit(url)
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2].partition(",")[0])  # the first of several
    if parts.scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise AddressError(f"{name} must look like postgresql://USER:PASSWORD@HOST:5432/NAME")
    host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
    return Store(host, _port(parts, name) or POSTGRES_PORT)


def redis_in(environ: Mapping[str, str]) -> Store | None:
    """Of REDIS_URL, or REDIS_HOST and REDIS_PORT; None: not set. Raises AddressError."""
    if environ.get("REDIS_URL"):
        return redis_at(environ["REDIS_URL"], "REDIS_URL")
    if environ.get("REDIS_HOST"):
        port = environ.get("REDIS_PORT") or str(REDIS_PORT)
        if not port.isdigit():
            raise AddressError("REDIS_PORT must be a port")
        return Store(environ["REDIS_HOST"], int(port))
    return None


def redis_at(url: str, name: str) -> Store:
    """`name`: what the person who gave it calls it. Raises AddressError."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Store(parts.path, 0)
    if parts.scheme not in ("redis", "rediss"):
        raise AddressError(f"{name} must look like redis://HOST:6379, rediss://... or unix:///PATH")
    return Store(parts.hostname or "localhost", _port(parts, name) or REDIS_PORT)


def database_of(config: GatewayConfig | None, environ: Mapping[str, str]) -> Store | None:
    """The PostgreSQL that a start would use; None: the embedded one. Raises AddressError."""
    if environ.get("DATABASE_URL") or config is None or config.database_url is None:
        return postgres_in(environ)
    return postgres_at(config.database_url.value, "general_settings.database_url")


def redis_of(config: GatewayConfig | None, environ: Mapping[str, str]) -> Store | None:
    """The Redis that a start would use, of a cluster one; None: none. Raises AddressError."""
    if config is None:
        return redis_in(environ)
    cache = config.cache
    if not cache.enabled or cache.type != "redis" or cache.redis_url is None:
        return None
    return redis_at(cache.redis_url.value, "the URL of the cache's Redis")


def _port(parts: SplitResult, name: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise AddressError(f"the port in {name} must be a number from 1 to 65535") from None


def problem_reaching(store: Store) -> str | None:
    """Why nothing answers there; None: something does."""
    try:
        if store.host.startswith("/"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(store.socket_file)
        else:
            socket.create_connection((store.host, store.port), TIMEOUT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
