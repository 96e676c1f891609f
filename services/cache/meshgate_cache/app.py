"""The cache's composition root: everything is built here, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from meshgate_cache.answer_cache import AnswerCache, CacheRules
from meshgate_cache.keys import DEFAULT_NAMESPACE
from meshgate_cache.metrics import CacheMetrics, observe_memory, observe_redis
from meshgate_cache.redis_client import redis_client
from meshgate_cache.redis_store import RedisLimits, RedisStore
from meshgate_cache.servicer import CacheServicer
from meshgate_cache.settings import CacheSettings
from meshgate_cache.store import MemoryStore, Store
from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.tasks import TaskOwner

ALLOWED_CALLERS = frozenset({"edge"})
TASKS_MAX = 4  # the recovery of the Redis circuit; room for what the semantic cache will need

log = structlog.get_logger("meshgate.cache")


@asynccontextmanager
async def cache_service(settings: CacheSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open. Starts with Redis down as well, and uses it when it comes."""
    config = runtime.config.cache
    async with AsyncExitStack() as stack:
        store = await _store(settings, runtime, stack)
        rules = CacheRules(
            enabled=config.enabled,
            namespace=config.namespace or DEFAULT_NAMESPACE,
            ttl_s=config.ttl_s,
            entry_bytes_max=settings.entry_bytes_max,
        )
        cache = AnswerCache(store, rules, runtime.clock)
        server = runtime.server(settings, ALLOWED_CALLERS)
        server.add(CacheServicer(cache, CacheMetrics(runtime.registry), runtime.clock))
        log.info("cache", enabled=config.enabled, backend=store.backend, namespace=rules.namespace)
        await stack.enter_async_context(server)
        yield


async def _store(settings: CacheSettings, runtime: Runtime, stack: AsyncExitStack) -> Store:
    """Redis when it is configured, else memory."""
    config = runtime.config.cache
    if config.enabled and config.type != "local" and config.redis_url is not None:
        return await _redis_store(settings, config, runtime, stack)
    if config.enabled and config.type != "local":
        log.warning("no Redis is configured: answers are kept in memory", type=config.type)
    memory = MemoryStore(
        runtime.clock, bytes_max=settings.memory_bytes_max, entries_max=settings.memory_entries_max
    )
    observe_memory(memory, runtime.registry)
    return memory


async def _redis_store(
    settings: CacheSettings, config: CacheConfig, runtime: Runtime, stack: AsyncExitStack
) -> RedisStore:
    assert config.redis_url is not None
    client = redis_client(config.redis_url, config.redis_connections_max)
    stack.push_async_callback(client.aclose, close_connection_pool=True)
    tasks = TaskOwner("cache", TASKS_MAX)
    stack.push_async_callback(tasks.drain, 0.0)
    limits = RedisLimits(
        lookup_s=settings.lookup_timeout_s,
        store_s=settings.store_timeout_s,
        delete_s=settings.delete_timeout_s,
    )
    store = RedisStore(client, limits, tasks, runtime.clock)
    observe_redis(store, runtime.registry)
    await store.start()
    return store
