"""The cache's composition root: everything is built here, and nowhere else."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import structlog

from meshgate_cache.answer_cache import AnswerCache, CacheRules
from meshgate_cache.embeddings_cache import EmbeddingsCache
from meshgate_cache.flights import Flights
from meshgate_cache.keys import DEFAULT_NAMESPACE
from meshgate_cache.metrics import (
    CacheMetrics,
    observe_flights,
    observe_memory,
    observe_redis,
    observe_semantic,
)
from meshgate_cache.redis_commands import ClusterRedis, RedisCommands, SingleRedis
from meshgate_cache.redis_store import RedisLimits, RedisStore
from meshgate_cache.servicer import CacheServicer
from meshgate_cache.settings import CacheSettings
from meshgate_cache.store import MemoryStore, Store
from meshgate_chassis.config.model import CacheConfig, GatewayConfig
from meshgate_chassis.redis_client import redis_client, redis_cluster_client
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.tasks import TaskOwner

if TYPE_CHECKING:  # brings numpy, which an exact cache does not need
    from meshgate_cache.semantic.semantic_cache import SemanticCache

ALLOWED_CALLERS = frozenset({"edge"})
FOLLOWERS = 1  # connections to a cluster that wait for the stream, besides the others
TASKS_MAX = 4  # the recovery of the Redis circuit
FLIGHT_TASKS_MAX = 4_000  # a watch for each answer that is waited for, and claims that end
TOKEN_BYTES = 16
VERSION_DIGITS = 8

log = structlog.get_logger("meshgate.cache")


@asynccontextmanager
async def cache_service(settings: CacheSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open. Starts with Redis down as well, and uses it when it comes."""
    config = runtime.config.cache
    async with AsyncExitStack() as stack:
        redis = _redis(config, stack)
        store = await _store(settings, redis, runtime, stack)
        rules = CacheRules(
            enabled=config.enabled,
            namespace=config.namespace or DEFAULT_NAMESPACE,
            ttl_s=config.ttl_s,
            entry_bytes_max=settings.entry_bytes_max,
        )
        semantic = await _semantic(settings, rules, _Stores(store, redis), runtime, stack)
        flights = _flights(store, runtime, stack)
        cache = AnswerCache(store, rules, runtime.clock, flights, semantic)
        embeddings = EmbeddingsCache(store, rules, runtime.clock)
        server = runtime.server(settings, ALLOWED_CALLERS)
        server.add(CacheServicer(cache, embeddings, CacheMetrics(runtime.registry), runtime.clock))
        log.info("cache", enabled=config.enabled, backend=store.backend, namespace=rules.namespace)
        await stack.enter_async_context(server)
        yield


def _flights(store: Store, runtime: Runtime, stack: AsyncExitStack) -> Flights:
    tasks = TaskOwner("flights", FLIGHT_TASKS_MAX)
    stack.push_async_callback(tasks.drain, 0.0)
    flights = Flights(store, tasks, runtime.clock, lambda: secrets.token_hex(TOKEN_BYTES))
    observe_flights(flights, runtime.registry)
    return flights


def _redis(config: CacheConfig, stack: AsyncExitStack) -> RedisCommands | None:
    """A client, when the configuration wants one; connects when first used."""
    if not config.enabled or config.type == "local" or config.redis_url is None:
        return None
    client: RedisCommands
    connections_max = config.redis_connections_max
    if config.redis_nodes:
        most = connections_max + FOLLOWERS
        cluster = redis_cluster_client(config.redis_url, config.redis_nodes, most)
        client = ClusterRedis(cluster, connections_max)
    else:
        client = SingleRedis(redis_client(config.redis_url, connections_max))
    stack.push_async_callback(client.aclose)
    return client


async def _store(
    settings: CacheSettings, redis: RedisCommands | None, runtime: Runtime, stack: AsyncExitStack
) -> Store:
    """Redis when it is configured, else memory."""
    if redis is not None:
        return await _redis_store(settings, redis, runtime, stack)
    config = runtime.config.cache
    if config.enabled and config.type != "local":
        log.warning("no Redis is configured: answers are kept in memory", type=config.type)
    memory = MemoryStore(
        runtime.clock, bytes_max=settings.memory_bytes_max, entries_max=settings.memory_entries_max
    )
    observe_memory(memory, runtime.registry)
    return memory


async def _redis_store(
    settings: CacheSettings, redis: RedisCommands, runtime: Runtime, stack: AsyncExitStack
) -> RedisStore:
    tasks = TaskOwner("cache", TASKS_MAX)
    stack.push_async_callback(tasks.drain, 0.0)
    limits = RedisLimits(
        lookup_s=settings.lookup_timeout_s,
        store_s=settings.store_timeout_s,
        delete_s=settings.delete_timeout_s,
    )
    store = RedisStore(redis, limits, tasks, runtime.clock)
    observe_redis(store, runtime.registry)
    await store.start()
    return store


@dataclass(frozen=True, slots=True)
class _Stores:
    """`redis` None: answers are in memory."""

    answers: Store
    redis: RedisCommands | None


async def _semantic(
    settings: CacheSettings, rules: CacheRules, stores: _Stores, runtime: Runtime, stack: AsyncExitStack
) -> "SemanticCache | None":
    """None unless it is configured; its libraries are imported only then."""
    config = runtime.config.cache
    if not (config.enabled and config.semantic):
        return None
    from meshgate_cache.semantic.build import SemanticSettings, Surroundings, build_semantic

    chosen = SemanticSettings(
        model=settings.embedding_model,
        routed_version=_version(runtime.config, config.embedding_model),
        entries_max=settings.semantic_entries_max,
        bytes_max=settings.semantic_bytes_max,
        stream=f"{rules.namespace}:semantic:1",
        warm_s=settings.warm_timeout_s,
    )
    around = Surroundings(stores.answers, stores.redis, runtime.clock)
    semantic = await build_semantic(config, chosen, around, stack)
    observe_semantic(semantic, runtime.registry)
    return semantic


def _version(config: GatewayConfig, group: str) -> str:
    """Of what a public name stands for: another model under the same name has other vectors."""
    models = sorted(
        f"{each.provider}/{each.upstream_model}"
        for each in config.deployments
        if fnmatchcase(group, each.model_group)
    )
    return hashlib.sha256("\n".join(models).encode()).hexdigest()[:VERSION_DIGITS]
