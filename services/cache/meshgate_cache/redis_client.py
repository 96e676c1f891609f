"""The Redis client with everything said explicitly: limits, retries, protocol."""

from typing import Final, TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from meshgate_chassis.config.model import Secret
from meshgate_chassis.errors import Code, MeshError

CONNECT_TIMEOUT_S: Final = 1.0  # the store's own limits are shorter; this one ends what they abandon
RETRIES_MAX: Final = 1  # a pooled connection that died while idle; what Redis says is asked once


RedisClient: TypeAlias = Redis


def redis_client(url: Secret, connections_max: int) -> Redis:
    """A client of redis://, rediss:// (TLS, certificate checked) or unix://. Connects when first used.

    Raises FAILED_PRECONDITION/SETTINGS_INVALID for a URL that is none, without quoting it.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url.value,
            max_connections=connections_max,
            timeout=None,  # callers bound their whole operation, waiting for a connection included
            protocol=2,
            socket_timeout=None,  # as above
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), RETRIES_MAX),
            health_check_interval=0,  # a lookup is one round trip, not two
            driver_info=None,  # no CLIENT SETINFO: one round trip less, and managed servers may forbid it
            decode_responses=False,
        )
    except ValueError:
        raise MeshError(
            Code.FAILED_PRECONDITION,
            "SETTINGS_INVALID",
            "the Redis URL must begin with redis://, rediss:// or unix:// and name host, port and database",
        ) from None
    return Redis.from_pool(pool)
