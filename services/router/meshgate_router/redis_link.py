"""The way to the Redis that replicas share: scripts with a deadline, and peace while it is away.

Redis that cannot be reached, or that is late twice in a row (once may be our own fault), is left alone for a
pause that grows; one line of log when that begins and one when it ends. Nobody waits longer than the limit of
the call, and nothing here raises.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Secret
from meshgate_chassis.redis_client import redis_client, redis_cluster_client

CONNECTIONS_MAX: Final = 10
CLUSTER_CONNECTIONS_MAX: Final = 100  # to each server; nobody waits for one there
LATE_MAX: Final = 2
PAUSE_S: Final = 0.5  # after a failure; doubled with each one
PAUSE_S_MAX: Final = 10.0

log = structlog.get_logger("meshgate.router.redis")


def shared_redis(url: Secret, nodes: Sequence[tuple[str, int]] = ()) -> Redis | RedisCluster:
    """`nodes`: of a cluster. Raises FAILED_PRECONDITION/SETTINGS_INVALID."""
    if nodes:
        return redis_cluster_client(url, nodes, CLUSTER_CONNECTIONS_MAX, text=True)
    return redis_client(url, CONNECTIONS_MAX, text=True)


class Script:
    """A Lua script and the SHA-1 by which Redis knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = ""


class RedisLink:
    """The client belongs to the caller; its replies are str. All keys of a script are in one slot."""

    def __init__(self, client: Redis | RedisCluster, clock: Clock) -> None:
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
        except (RedisError, RedisClusterException, OSError) as error:
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
