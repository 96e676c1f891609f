"""The cache on a real Redis Cluster of three servers: answers, claims, flushes, and what replicas learn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from meshgate_cache.claims import Claim
from meshgate_cache.keys import store_prefix
from meshgate_cache.redis_commands import ClusterRedis
from meshgate_cache.redis_store import RedisLimits, RedisStore
from meshgate_cache.semantic.model import packaged_files
from meshgate_cache.store import Put, Store
from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import CacheConfig, Secret
from meshgate_chassis.errors import MeshError
from meshgate_chassis.redis_client import redis_cluster_client
from meshgate_chassis.tasks import TaskOwner
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from tests.support.eventually import eventually
from tests.support.redis_cluster import CLUSTER_KINDS, RedisCluster, redis_cluster
from tests.unit.cache.store_suite import ENTRY, LONG_S, StoreSuite, name
from tests.unit.cache.subject import TIMEOUT_S, Start, answer, chat

__all__ = ["redis_cluster"]

ALL = pytest.mark.parametrize("redis_cluster", CLUSTER_KINDS, indirect=True)
LIMITS = {"lookup_timeout_s": 5.0, "store_timeout_s": 5.0}


@pytest.fixture
async def cluster_store(redis_cluster: RedisCluster) -> AsyncIterator[RedisStore]:
    redis_cluster.flush()
    async with AsyncExitStack() as stack:
        client = redis_cluster_client(Secret(redis_cluster.url), redis_cluster.nodes, 5)
        commands = ClusterRedis(client, 5)
        stack.push_async_callback(commands.aclose)
        tasks = TaskOwner("test", 4)
        stack.push_async_callback(tasks.drain, 0.0)
        limits = RedisLimits(lookup_s=5.0, lookup_many_s=5.0, store_s=5.0, probe_s=5.0)
        store = RedisStore(commands, limits, tasks, SystemClock())
        await store.start()
        yield store


@ALL
class TestClusterStore(StoreSuite):
    """The shared promises."""

    @pytest.fixture
    def store(self, cluster_store: RedisStore) -> RedisStore:
        return cluster_store

    async def after(self, store: Store, key: str) -> None:
        async def gone() -> bool:
            return await store.get(key, LONG_S) is None

        await eventually(gone, "the entry expires")


@ALL
async def test_many_keys_are_on_all_servers(cluster_store: RedisStore, redis_cluster: RedisCluster) -> None:
    """Read, written, deleted and cleared together, wherever they are; few connections serve many callers."""
    keys = [name(request=b"%d" % number) for number in range(300)]
    await cluster_store.put_many([Put(key, ENTRY, 600.0) for key in keys], LONG_S)
    counts = redis_cluster.key_counts()
    found = await asyncio.gather(*(cluster_store.get(key, LONG_S) for key in keys))

    assert (300, True) == (sum(counts), all(count > 50 for count in counts))
    assert [ENTRY] * 300 == found == await cluster_store.get_many(keys, LONG_S)
    assert 10 == await cluster_store.delete([*keys[:10], name(request=b"none")], LONG_S)
    assert 290 == await cluster_store.clear(store_prefix("n", ""), LONG_S)
    assert [0, 0, 0] == redis_cluster.key_counts()


@ALL
async def test_claims_are_renewed(cluster_store: RedisStore, redis_cluster: RedisCluster) -> None:
    """All that are still held, on whichever server."""
    held = [Claim(name(request=b"%d" % number), f"token{number}", 5.0) for number in range(60)]
    for claim in held:
        await cluster_store.get_or_claim(claim, LONG_S)
    await cluster_store.put(held[0].key, ENTRY, 600.0, LONG_S)

    for _ in range(2):
        assert 59 == await cluster_store.renew(held, LONG_S)


@ALL
@pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")
async def test_replicas_learn_from_each_other(start_cache: Start, redis_cluster: RedisCluster) -> None:
    """The stream is followed through the cluster: stored on one, found by meaning on another, and on one
    that starts later; flushed for all."""
    redis_cluster.flush()
    config = CacheConfig(
        enabled=True,
        type="redis",
        semantic=True,
        redis_url=Secret(redis_cluster.url),
        redis_nodes=redis_cluster.nodes[1:],
        ttl_s=600,
    )
    one, two = [await start_cache(config, **LIMITS) for _ in range(2)]
    missed = await one.look_up(chat("What is the capital of France?"))
    store = pb.StoreEntryRequest(
        tenant_id="a",
        cache_key=missed.cache_key,
        entry=pb.Entry(response=answer("Paris.")),
        question=missed.question,
    )
    await one.client.store_entry(store, timeout_s=TIMEOUT_S)

    async def hits() -> bool:
        found = await two.look_up(chat("What is the capital city of France?"))
        return bool(found.entry.source_key == missed.cache_key)

    await eventually(hits, "the other replica knows the question")
    late = await start_cache(config, **LIMITS)
    assert (await late.look_up(chat("What is the capital city of France?"))).HasField("entry")
    assert 1 == await late.delete()
    assert not (await one.look_up(chat("What is the capital city of France?"))).HasField("entry")

    async def forgotten() -> bool:
        return (await two.status()).semantic.question_count == 0

    await eventually(forgotten, "the other replica has forgotten")


async def test_a_server_that_is_lost_is_used_when_it_is_back(
    cluster_store: RedisStore, redis_cluster: RedisCluster
) -> None:
    """Until then the cache is unavailable, at once; nobody has to help it up."""
    keys = [name(request=b"%d" % number) for number in range(30)]
    await cluster_store.put_many([Put(key, ENTRY, 600.0) for key in keys], LONG_S)
    lost = redis_cluster.servers[2]
    lost.kill()

    async def refused() -> bool:
        results = await asyncio.gather(
            *(cluster_store.get(key, LONG_S) for key in keys), return_exceptions=True
        )
        errors = {result.reason for result in results if isinstance(result, MeshError)}
        return errors == {"STORE_UNAVAILABLE"} and not cluster_store.circuit_closed

    await eventually(refused, "the lost server is noticed")
    lost.start()
    await eventually(lambda: cluster_store.circuit_closed, "the cluster is whole again")

    async def stored() -> bool:
        try:
            await cluster_store.put_many([Put(key, ENTRY, 600.0) for key in keys], LONG_S)
            return await cluster_store.get_many(keys, LONG_S) == [ENTRY] * 30
        except MeshError:
            return False

    await eventually(stored, "all slots are served again")


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    """Within the limit, with the error of a Redis that does not answer."""
    client = redis_cluster_client(Secret("redis://127.0.0.1:1"), [("127.0.0.1", 1)], 2)
    tasks = TaskOwner("test", 4)
    store = RedisStore(ClusterRedis(client, 2), RedisLimits(lookup_s=2.0), tasks, SystemClock())
    try:
        await store.start()
        with pytest.raises(MeshError) as caught:
            await store.get(name(), LONG_S)
    finally:
        await tasks.drain(0.0)
        await client.aclose()

    assert "STORE_UNAVAILABLE" == caught.value.reason
