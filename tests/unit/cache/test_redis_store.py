"""The store on real Valkey and Redis keeps what every store promises, and mistrusts what it finds there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from meshgate_cache import claims
from meshgate_cache.claims import Claim
from meshgate_cache.entry import encode
from meshgate_cache.keys import store_prefix
from meshgate_cache.redis_commands import SingleRedis
from meshgate_cache.redis_store import RedisLimits, RedisStore
from meshgate_cache.store import Store
from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import Secret
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.redis_client import redis_client
from meshgate_chassis.tasks import TaskOwner
from tests.support.eventually import eventually
from tests.support.redis_server import SERVERS, RedisServer
from tests.unit.cache.store_suite import ENTRY, LONG_S, TTL_S, StoreSuite, name

PATIENT = RedisLimits(lookup_s=5.0, store_s=5.0, delete_s=30.0, probe_s=1.0)
ALL = pytest.mark.parametrize("redis_server", SERVERS, indirect=True)


@asynccontextmanager
async def redis_store(
    url: str, limits: RedisLimits = PATIENT, connections_max: int = 10
) -> AsyncIterator[tuple[RedisStore, Redis]]:
    """A started store and its client."""
    async with AsyncExitStack() as stack:
        client = redis_client(Secret(url), connections_max)
        stack.push_async_callback(client.aclose, close_connection_pool=True)
        tasks = TaskOwner("test", 4)
        stack.push_async_callback(tasks.drain, 0.0)
        store = RedisStore(SingleRedis(client), limits, tasks, SystemClock())
        await store.start()
        yield store, client


@pytest.fixture
async def open_store(redis_url: str) -> AsyncIterator[tuple[RedisStore, Redis]]:
    async with redis_store(redis_url) as opened:
        yield opened


@ALL
class TestRedisStore(StoreSuite):
    """The shared promises."""

    @pytest.fixture
    def store(self, open_store: tuple[RedisStore, Redis]) -> RedisStore:
        return open_store[0]

    async def after(self, store: Store, key: str) -> None:
        async def gone() -> bool:
            return await store.get(key, LONG_S) is None

        await eventually(gone, "the entry expires")


@ALL
async def test_keys_in_redis_are_named_as_configured(
    open_store: tuple[RedisStore, Redis], redis_server: RedisServer
) -> None:
    """`<namespace>:<hash>`, with the TTL kept by the server itself."""
    store, client = open_store
    key = name(namespace="litellm:cache")
    await store.put(key, ENTRY, 60.0, LONG_S)

    assert [key.encode()] == await client.keys("litellm:cache:*")
    assert 59_000 < await client.pttl(key) <= 60_000


@ALL
async def test_a_renewal_prolongs_claims_and_nothing_else(
    open_store: tuple[RedisStore, Redis], redis_server: RedisServer
) -> None:
    """On Redis 6.2 as well; an answer that came meanwhile keeps its time."""
    store, client = open_store
    held = [Claim(name(request=b"%d" % number), f"token{number}", 5.0) for number in range(120)]
    for claim in held:
        await store.get_or_claim(claim, LONG_S)
    await store.put(held[0].key, ENTRY, 600.0, LONG_S)
    longer = [Claim(claim.key, claim.token, 60.0) for claim in held]

    for _ in range(2):
        assert 119 == await store.renew(longer, LONG_S)
    assert 590_000 < await client.pttl(held[0].key) <= 600_000
    assert {True} == {50_000 < await client.pttl(claim.key) <= 60_000 for claim in held[1:]}


@pytest.mark.parametrize("stored", [False, True])
@ALL
async def test_without_gt_an_answer_that_comes_between_is_not_shortened(
    open_store: tuple[RedisStore, Redis], stored: bool, redis_server: RedisServer
) -> None:
    """The transaction is for the claim as it was; servers before 7.0 know no other way."""
    store, client = open_store
    claim = Claim(name(), "token", 5.0)
    await store.get_or_claim(claim, LONG_S)
    if stored:
        await store.put(claim.key, ENTRY, 600.0, LONG_S)

    assert stored is not await SingleRedis(client).prolong(claim.key, claims.encode(claim), 60_000)
    left_ms = await client.pttl(claim.key)
    assert (left_ms > 590_000) if stored else (50_000 < left_ms <= 60_000)


POISON: dict[str, Callable[[Redis, str], object]] = {
    "text": lambda client, key: client.set(key, "garbage"),
    "nothing": lambda client, key: client.set(key, b""),
    "LiteLLM's value": lambda client, key: client.set(key, '{"timestamp": 1, "response": "{}"}'),
    "a list": lambda client, key: client.rpush(key, "a", "b"),
    "a hash": lambda client, key: client.hset(key, "a", "b"),
    "a stream": lambda client, key: client.xadd(key, {"a": "b"}),
    "an entry of another key": lambda client, key: client.set(key, encode(ENTRY, name("other tenant"))),
    "half an entry": lambda client, key: client.set(key, encode(ENTRY, key)[:-3]),
}


@pytest.mark.parametrize("poison", POISON)
@ALL
async def test_a_foreign_value_is_a_miss_and_can_be_replaced(
    open_store: tuple[RedisStore, Redis], poison: str, redis_server: RedisServer
) -> None:
    """Never an error, never an answer."""
    store, client = open_store
    await POISON[poison](client, name())  # type: ignore[misc]

    assert await store.get(name(), LONG_S) is None
    await store.put(name(), ENTRY, TTL_S, LONG_S)
    assert ENTRY == await store.get(name(), LONG_S)


async def test_foreign_keys_survive_a_clear(open_store: tuple[RedisStore, Redis]) -> None:
    """Redis is shared: only what has our form of key goes, whatever bytes the others have."""
    store, client = open_store
    foreign = [b"n:session", b"n:" + b"g" * 64, b"n:\xff\xfe" + b"0" * 62, b"x:n:" + b"0" * 64]
    for key in foreign:
        await client.set(key, "theirs")
    await store.put(name(), ENTRY, TTL_S, LONG_S)

    assert 1 == await store.clear(store_prefix("n", ""), LONG_S)
    assert len(foreign) == await client.dbsize()


async def test_foreign_values_survive_when_everything_is_cleared(
    open_store: tuple[RedisStore, Redis],
) -> None:
    """LiteLLM, which may use the same Redis, names its keys as we do: what is ours tells the value."""
    store, client = open_store
    await client.set("litellm:" + "0" * 64, '{"timestamp": 1, "response": "theirs"}')
    await client.rpush("litellm:" + "1" * 64, "theirs")
    await client.set("session:1", "theirs")
    for request in range(1_500):
        await store.put(name(request=str(request).encode()), ENTRY, TTL_S, LONG_S)

    assert 1_500 == await store.clear_all(LONG_S)
    assert 3 == await client.dbsize()


async def test_a_lookup_is_one_round_trip(open_store: tuple[RedisStore, Redis]) -> None:
    """One command reaches the server for each lookup, hit or miss."""
    store, client = open_store
    await store.put(name(), ENTRY, TTL_S, LONG_S)
    before = (await client.info("stats"))["total_commands_processed"]
    for _ in range(10):
        await store.get(name(), LONG_S)
        await store.get(name(request=b"missing"), LONG_S)
    after = (await client.info("stats"))["total_commands_processed"]

    assert 21 == after - before  # 20 lookups and the first INFO


async def test_connections_are_bounded(redis_url: str) -> None:
    """Two hundred callers share five connections, and all are served."""
    async with redis_store(redis_url, connections_max=5) as (store, client):
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        found = await asyncio.gather(*(store.get(name(), LONG_S) for _ in range(200)))
        connected = (await client.info("clients"))["connected_clients"]

    assert [ENTRY] * 200 == found
    assert connected <= 5


async def test_an_abandoned_lookup_does_not_answer_the_next_one(own_redis_server: RedisServer) -> None:
    """Lookups cancelled in mid flight, many times over, leave no reply behind for somebody else's key."""
    keys = [name(request=b"%d" % number) for number in range(50)]
    async with redis_store(own_redis_server.url, connections_max=8) as (store, client):
        for key in keys:
            await store.put(key, ENTRY, TTL_S, LONG_S)
        for round_number in range(20):
            tasks = [asyncio.ensure_future(store.get(key, LONG_S)) for key in keys]
            for _ in range(round_number % 7):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            # decode() would turn a stranger's reply into a miss: every lookup that ends must be a hit
            assert [ENTRY] * 25 == results[1::2]
        connected = (await client.info("clients"))["connected_clients"]

    assert connected <= 8


async def test_a_unix_socket_is_an_address_too(redis_server: RedisServer) -> None:
    """unix:// works as redis:// does."""
    async with redis_store(f"unix://{redis_server.socket_path}?db=0") as (store, _):
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        assert ENTRY == await store.get(name(), LONG_S)


async def test_a_password_is_used(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With it the store works; without it, it is unavailable and says nothing about why to the caller."""
    folder = tmp_path_factory.mktemp("r")
    with RedisServer("valkey", folder, ("--requirepass", "hush & hush")) as server:
        good = server.url.replace("://", "://:hush%20%26%20hush@")
        async with redis_store(good) as (store, _):
            await store.put(name(), ENTRY, TTL_S, LONG_S)
            assert ENTRY == await store.get(name(), LONG_S)
        async with redis_store(server.url) as (store, _):
            with pytest.raises(MeshError) as caught:
                await store.get(name(), LONG_S)

    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (caught.value.code, caught.value.reason)


async def test_redis_that_refuses_writes_still_reads(own_redis_server: RedisServer) -> None:
    """A read-only replica, then full memory: the put fails with a typed error, lookups go on hitting."""
    async with redis_store(own_redis_server.url) as (store, _):
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        own_redis_server.command("REPLICAOF", "127.0.0.1", "1")
        causes = [await refused(store)]
        assert ENTRY == await store.get(name(), LONG_S)
        own_redis_server.command("REPLICAOF", "NO", "ONE")
        own_redis_server.command("CONFIG", "SET", "maxmemory", "1")
        causes.append(await refused(store))
        assert ENTRY == await store.get(name(), LONG_S)
        own_redis_server.command("CONFIG", "SET", "maxmemory", "0")
        await store.put(name(), ENTRY, TTL_S, LONG_S)

    assert ["ReadOnlyError", "OutOfMemoryError"] == causes


async def refused(store: RedisStore) -> str:
    """The cause that a failing put names."""
    with pytest.raises(MeshError) as caught:
        await store.put(name(), ENTRY, TTL_S, LONG_S)
    assert "STORE_UNAVAILABLE" == caught.value.reason
    return caught.value.metadata["cause"]


@pytest.mark.parametrize("url", ["http://user:hush@host", "redis://host:port", "redis://host:70000000/0"])
def test_a_url_that_is_none_is_refused_at_start(url: str) -> None:
    """Without quoting its password."""
    with pytest.raises(MeshError) as caught:
        redis_client(Secret(url), 1)

    assert "SETTINGS_INVALID" == caught.value.reason
    assert "hush" not in str(caught.value)


@ALL
async def test_a_server_that_hides_its_clients_tells_of_itself(redis_url: str) -> None:
    """As managed ones do."""
    async with redis_store(redis_url) as (_, admin):
        await admin.execute_command("ACL", "SETUSER", "shy", "on", ">secret", "~*", "&*", "+@all", "-client")
        shy = redis_url.replace("redis://", "redis://shy:secret@")
        async with redis_store(shy) as (store, _):
            [server] = await store.servers(LONG_S)
            assert server.clients is None and "redis_version" in server.info
        await admin.execute_command("ACL", "DELUSER", "shy")
