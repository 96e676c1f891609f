"""Real Redis servers and whole cache services for the tests of the cache."""

from tests.support.redis_server import own_redis_server, redis_server, redis_url
from tests.unit.cache.subject import start_cache, subject

__all__ = ["own_redis_server", "redis_server", "redis_url", "start_cache", "subject"]
