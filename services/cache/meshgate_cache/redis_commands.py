"""What the cache asks of Redis, of one server as of a cluster. Only what Redis 6.2 knows, but for one option.

Invariants: commands on one key go to its server, in order; commands on many keys are one round trip, to each
server of a cluster at the same time; errors are redis-py's RedisError, OSError and TimeoutError.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, ResponseError, WatchError

Words: TypeAlias = tuple[Any, ...]
Command: TypeAlias = Callable[..., Awaitable[Any]]

UNLINK_KEYS_MAX: Final = 1_000  # of one round trip


class RedisCommands(Protocol):
    """See the module."""

    async def command(self, *words: Any) -> Any:
        """The reply; raises ResponseError for a refusal."""

    async def commands(self, commands: Sequence[Words]) -> list[Any]:
        """The reply of each; a refusal is among them."""

    async def scans(self) -> Sequence[Command]:
        """`command` of each server that has keys."""

    async def unlink(self, names: Sequence[str | bytes]) -> int:
        """How many there were; at most UNLINK_KEYS_MAX names."""

    async def prolong(self, key: str, value: bytes, lease_ms: int) -> bool:
        """Without PEXPIRE's GT (7.0): PEXPIRE of a key that has still this value. True when it has."""

    async def ping(self) -> None:
        """Returns when all that is needed answers."""

    async def reconnect(self) -> None:
        """Closes idle connections: names are looked up anew."""

    async def aclose(self) -> None:
        """Closes all connections."""


class SingleRedis:
    """One server, or what looks like one."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._execute: Command = client.execute_command

    async def command(self, *words: Any) -> Any:
        return await self._execute(*words)

    async def commands(self, commands: Sequence[Words]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            return list(await pipeline.execute(raise_on_error=False))

    async def scans(self) -> Sequence[Command]:
        return (self._execute,)

    async def unlink(self, names: Sequence[str | bytes]) -> int:
        return int(await self.command("UNLINK", *names))

    async def prolong(self, key: str, value: bytes, lease_ms: int) -> bool:
        async with self._client.pipeline(transaction=True) as pipeline:
            return await _prolonged(pipeline, key, value, lease_ms)

    async def ping(self) -> None:
        await self._execute("PING")

    async def reconnect(self) -> None:
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        await self._client.aclose(close_connection_pool=True)


class ClusterRedis:
    """A Redis Cluster. `connections_max`: commands at a time; further ones wait for a connection."""

    def __init__(self, client: RedisCluster, connections_max: int) -> None:
        self._client = client
        self._execute: Command = client.execute_command
        self._connections = asyncio.Semaphore(connections_max)

    async def command(self, *words: Any) -> Any:
        if "BLOCK" in words:  # its connection is one of its own
            async with _as_redis_errors():
                return await self._execute(*words)
        async with self._connection():
            return await self._execute(*words)

    async def commands(self, commands: Sequence[Words]) -> list[Any]:
        async with self._connection(), self._client.pipeline(transaction=False) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            return list(await pipeline.execute(raise_on_error=False))

    async def scans(self) -> Sequence[Command]:
        async with _as_redis_errors():
            await self._client.initialize()
        return [self._on(node) for node in self._client.get_primaries()]

    async def unlink(self, names: Sequence[str | bytes]) -> int:
        replies = await self.commands([("UNLINK", name) for name in names])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return sum(replies)

    async def prolong(self, key: str, value: bytes, lease_ms: int) -> bool:
        async with self._connection(), self._client.pipeline(transaction=True) as pipeline:
            return await _prolonged(pipeline, key, value, lease_ms)

    async def ping(self) -> None:
        try:
            await asyncio.gather(*(ask("PING") for ask in await self.scans()))
        except (RedisError, OSError):
            await self.reconnect()  # another server may have been promoted
            raise

    async def reconnect(self) -> None:
        """Where the slots are is asked anew."""
        async with _as_redis_errors():
            await self._client.nodes_manager.initialize()

    async def aclose(self) -> None:
        await self._client.aclose()

    def _on(self, node: Any) -> Command:
        async def command(*words: Any) -> Any:
            async with self._connection():
                return await node.execute_command(*words)

        return command

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        async with self._connections, _as_redis_errors():
            yield


@asynccontextmanager
async def _as_redis_errors() -> AsyncIterator[None]:
    """What redis-py raises for a cluster that cannot be reached is none of its own RedisErrors."""
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError("the cluster cannot be reached") from error


async def _prolonged(pipeline: Any, key: str, value: bytes, lease_ms: int) -> bool:
    """An answer that is stored meanwhile keeps its time: then the transaction is not done."""
    try:
        await pipeline.watch(key)
        if await pipeline.get(key) != value:
            return False
        pipeline.multi()
        pipeline.pexpire(key, lease_ms)
        await pipeline.execute()
    except WatchError:
        return False
    return True


def is_unknown_option(reply: Any) -> bool:
    """Whether a server refused an option that it does not know."""
    return isinstance(reply, ResponseError) and "wrong number of arguments" in str(reply).lower()
