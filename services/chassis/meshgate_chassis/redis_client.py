"""How a Redis is reached: clients with everything said explicitly. For services with the extra `redis`.

No client limits how long a command takes: callers bound their whole operation, waiting for a connection
included. Both connect when they are first used.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from meshgate_chassis.config.model import Secret
from meshgate_chassis.errors import Code, MeshError

CONNECT_TIMEOUT_S: Final = 1.0  # callers' own limits are shorter; this one ends what they abandon
RETRIES_MAX: Final = 1  # a pooled connection that died while idle; what Redis says is asked once
CLUSTER_RETRIES_MAX: Final = 3  # a slot that moved to a server that was promoted


def redis_client(url: Secret, connections_max: int, *, text: bool = False) -> Redis:
    """A client of redis://, rediss:// (TLS, certificate checked) or unix://. `text`: replies are str.

    Raises FAILED_PRECONDITION/SETTINGS_INVALID for a URL that is none, without quoting it.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url.value,
            max_connections=connections_max,
            timeout=None,  # see the module
            retry=Retry(NoBackoff(), RETRIES_MAX),
            **_common(text=text),
        )
    except ValueError:
        raise _invalid() from None
    return Redis.from_pool(pool)


def redis_cluster_client(
    url: Secret, nodes: Sequence[tuple[str, int]], connections_max: int, *, text: bool = False
) -> RedisCluster:
    """A client of the cluster that one of `nodes` (host, port) knows; credentials and TLS as in `url`.
    `connections_max`: to each server; more at a time fail. Errors as above."""
    parts = urlsplit(url.value)
    if parts.scheme not in ("redis", "rediss") or parts.path.strip("/") not in ("", "0"):
        raise _invalid()
    options = _common(text=text)
    if parts.scheme == "rediss":
        options["ssl"] = True
        options |= _tls_options(parts.query)
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in nodes],
        require_full_coverage=False,  # what is on the slots that are left is still found
        max_connections=connections_max,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        retry=Retry(NoBackoff(), CLUSTER_RETRIES_MAX),
        **options,
    )


def _tls_options(query: str) -> dict[str, Any]:
    """Those of a URL that are about TLS; a client of one server reads them itself."""
    said: dict[str, Any] = {name: value for name, value in parse_qsl(query) if name.startswith("ssl_")}
    if "ssl_check_hostname" in said:
        said["ssl_check_hostname"] = said["ssl_check_hostname"].lower() in ("true", "1", "yes")
    return said


def _common(*, text: bool) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": None,  # see the module
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": 0,  # a lookup is one round trip, not two
        "driver_info": None,  # no CLIENT SETINFO: one round trip less, and managed servers may forbid it
        "decode_responses": text,
    }


def _invalid() -> MeshError:
    return MeshError(
        Code.FAILED_PRECONDITION,
        "SETTINGS_INVALID",
        "the Redis URL must begin with redis://, rediss:// or unix:// and name host, port and database;"
        " a cluster has no database but 0, and no unix://",
    )
