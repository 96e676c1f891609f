"""Real Redis servers for the state that routers share."""

from tests.support.redis_server import own_redis_server, redis_server, redis_url

__all__ = ["own_redis_server", "redis_server", "redis_url"]
