"""The way to the Redis that replicas share: scripts with a deadline, and peace while it is away.

Redis that cannot be reached, or that is late twice in a row (once may be our own fault), is left alone for a
pause that grows; one line of log when that begins and one when it ends. Nobody waits longer than the limit of
the call, and nothing here raises.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Secret
from meshgate_chassis.errors import Code, MeshError

CONNECTIONS_MAX: Final = 10
CONNECT_TIMEOUT_S: Final = 1.0
RETRIES_MAX: Final = 1  # a pooled connection that died while idle
LATE_MAX: Final = 2
PAUSE_S: Final = 0.5  # after a failure; doubled with each one
PAUSE_S_MAX: Final = 10.0

log = structlog.get_logger("meshgate.router.redis")


def redis_client(url: Secret) -> Redis:
    """Connects when first used. Raises FAILED_PRECONDITION/SETTINGS_INVALID without quoting the URL."""
    try:
        pool = BlockingConnectionPool.from_url(
            url.value,
            max_connections=CONNECTIONS_MAX,
            timeout=None,  # callers bound their whole operation, waiting for a connection included
            protocol=2,
            socket_timeout=None,  # as above
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), RETRIES_MAX),
            health_check_interval=0,
            driver_info=None,
            decode_responses=True,
        )
    except ValueError:
        message = "router_settings.redis_url must begin with redis://, rediss:// or unix://"
        raise MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", message) from None
    return Redis.from_pool(pool)


class Script:
    """A Lua script and the SHA-1 by which Redis knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = ""


class RedisLink:
    """The client belongs to the caller."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._command: Callable[..., Awaitable[Any]] = client.execute_command
        self._clock = clock
        self._failures = 0
        self._late = 0
        self._away_until_s = 0.0

    @property
    def away(self) -> bool:
        """It failed a moment ago."""
        return self._clock.monotonic_s() < self._away_until_s

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str], limit_s: float
    ) -> Any | None:
        """What the script returned; None: Redis is away."""
        if self.away:
            return None
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._evaluate(script, keys, arguments)
        except TimeoutError:
            self._late += 1
            if self._late >= LATE_MAX:
                self._failed("timeout")
            return None
        except (RedisError, OSError) as error:
            self._failed(type(error).__name__)
            return None
        self._late = 0
        if self._failures:
            self._failures = 0
            log.info("Redis answers again: limits and cooldowns are shared")
        return answer

    async def _evaluate(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        words = (len(keys), *keys, *arguments)
        if script.sha:
            try:
                return await self._command("EVALSHA", script.sha, *words)
            except NoScriptError:
                pass  # Redis was restarted.
        script.sha = await self._command("SCRIPT LOAD", script.text)
        return await self._command("EVALSHA", script.sha, *words)

    def _failed(self, why: str) -> None:
        self._failures += 1
        pause_s = min(PAUSE_S * 2.0 ** min(self._failures - 1, 10), PAUSE_S_MAX)
        self._away_until_s = self._clock.monotonic_s() + pause_s
        if self._failures == 1:
            log.warning("Redis is away: each replica keeps limits and cooldowns of its own", error=why)
