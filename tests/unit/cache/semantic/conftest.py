"""Real Redis servers and whole semantic caches."""

from tests.support.redis_server import own_redis_server, redis_server, redis_url
from tests.unit.cache.subject import start_cache

__all__ = ["own_redis_server", "redis_server", "redis_url", "start_cache"]
