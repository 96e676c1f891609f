"""Real Redis servers and a real clock for the tests of the cache."""

from tests.support.redis_server import own_redis_server, redis_server, redis_url

__all__ = ["own_redis_server", "redis_server", "redis_url"]
