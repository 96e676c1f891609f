"""Redis that dies, hangs, restarts or is flushed costs hits, and nothing else."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from meshgate_cache.keys import store_prefix
from meshgate_cache.redis_store import RedisLimits, RedisStore
from meshgate_chassis.errors import Code, MeshError
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer
from tests.unit.cache.store_suite import ENTRY, LONG_S, TTL_S, name
from tests.unit.cache.test_redis_store import redis_store

BRIEF = RedisLimits(lookup_s=0.2, store_s=0.5, delete_s=5.0, probe_s=0.5)


@pytest.fixture
async def store(own_redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    async with redis_store(own_redis_server.url, BRIEF, connections_max=20) as (store, _):
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        yield store


async def outcome(store: RedisStore, remaining_s: float = LONG_S) -> str:
    """hit, miss, or the reason of the error."""
    try:
        found = await store.get(name(), remaining_s)
    except MeshError as error:
        assert Code.UNAVAILABLE == error.code
        return error.reason
    assert found in (None, ENTRY)
    return "miss" if found is None else "hit"


async def works(store: RedisStore) -> bool:
    """True once an entry can be put and found."""
    try:
        await store.put(name(), ENTRY, TTL_S, LONG_S)
    except MeshError:
        return False
    return await outcome(store) == "hit"


async def test_redis_that_died_is_an_error_and_comes_back_by_itself(
    store: RedisStore, own_redis_server: RedisServer
) -> None:
    """Typed and without a storm of lines; after the restart answers are found again, without any traffic."""
    with capture_logs() as logs:
        own_redis_server.kill()
        seen = {await outcome(store) for _ in range(200)}
        assert not store.circuit_closed
        own_redis_server.start()
        await eventually(lambda: store.circuit_closed, "the store is used again")

    assert {"STORE_UNAVAILABLE"} == seen
    assert ["warning", "info"] == [line["log_level"] for line in logs]
    assert await works(store)


async def test_redis_that_hangs_costs_no_more_than_the_limit(
    store: RedisStore, own_redis_server: RedisServer
) -> None:
    """Connections stay open and nothing answers: lookups end with an error; late replies reach nobody."""
    own_redis_server.hang()
    seen = Counter(await asyncio.gather(*(outcome(store) for _ in range(50))))
    assert {"STORE_UNAVAILABLE": 50} == seen
    assert not store.circuit_closed
    own_redis_server.resume()
    await eventually(lambda: store.circuit_closed, "the store is used again")

    assert ["hit"] * 50 == [await outcome(store) for _ in range(50)]


async def test_a_caller_in_a_hurry_says_nothing_about_redis(
    store: RedisStore, own_redis_server: RedisServer
) -> None:
    """Callers with no time left get an error, and the store stays in use for the others."""
    for _ in range(20):
        assert "STORE_UNAVAILABLE" == await outcome(store, remaining_s=0.0)

    assert store.circuit_closed
    assert "hit" == await outcome(store)


async def test_a_restart_with_idle_connections_costs_no_lookup(
    store: RedisStore, own_redis_server: RedisServer
) -> None:
    """Pooled connections that died while idle are replaced within the same call."""
    await asyncio.gather(*(outcome(store) for _ in range(20)))
    own_redis_server.restart()

    assert {"miss": 100} == Counter([await outcome(store) for _ in range(100)])


async def test_restarts_and_flushes_under_load(store: RedisStore, own_redis_server: RedisServer) -> None:
    """Callers see hits, misses and typed errors, and nothing else; at the end all is well."""
    stopping = asyncio.Event()
    seen: Counter[str] = Counter()

    async def caller() -> None:
        while not stopping.is_set():
            seen[await outcome(store)] += 1
            if not await works(store):
                seen["not stored"] += 1
            await asyncio.sleep(0)

    callers = [asyncio.ensure_future(caller()) for _ in range(8)]
    for _ in range(3):
        hits = seen["hit"]
        await eventually(lambda start=hits: seen["hit"] > start + 100, "lookups hit")
        await asyncio.to_thread(own_redis_server.command, "FLUSHALL")
        await asyncio.to_thread(own_redis_server.restart)
        await eventually(lambda: works(store), "it works again")
    stopping.set()
    await asyncio.gather(*callers)

    assert {"hit", "miss", "STORE_UNAVAILABLE", "not stored"} >= set(seen)
    assert await works(store)


async def test_it_starts_without_redis_and_finds_it_later(own_redis_server: RedisServer) -> None:
    """The start does not wait for Redis."""
    own_redis_server.kill()
    async with redis_store(own_redis_server.url, BRIEF) as (store, _):
        assert not await store.reachable(LONG_S)
        assert "STORE_UNAVAILABLE" == await outcome(store)
        own_redis_server.start()
        await eventually(lambda: store.circuit_closed, "the store is used")
        assert await works(store)


async def test_a_server_that_speaks_something_else_is_an_error() -> None:
    """A port that answers in HTTP: typed errors, no crash, no hang."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, family=socket.AF_INET)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with redis_store(f"redis://127.0.0.1:{port}/0", BRIEF) as (store, _):
            assert {"STORE_UNAVAILABLE"} == {await outcome(store) for _ in range(10)}


async def test_a_clear_that_cannot_finish_is_an_error(
    store: RedisStore, own_redis_server: RedisServer
) -> None:
    """It does not say that it deleted what it could not see."""
    own_redis_server.hang()
    with pytest.raises(MeshError) as caught:
        await store.clear(store_prefix("n", ""), 0.2)
    own_redis_server.resume()

    assert "STORE_UNAVAILABLE" == caught.value.reason
