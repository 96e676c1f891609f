"""`litellm_settings.cache` and `cache_params`; the `cache_settings` section of a reference deployment."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from meshgate_chassis.config.known_keys import CACHE_PARAMS
from meshgate_chassis.config.model import CacheConfig, Secret
from meshgate_chassis.config.node import Node
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.schema import read_table
from meshgate_chassis.config.sections.router import Surroundings
from meshgate_chassis.config.store_urls import CLUSTER_NODES, ENVIRONMENT, NodesError, redis_nodes, redis_url

EMBEDDING_MODEL = "redis_semantic_cache_embedding_model"
DEFAULT_TTL_KEYS = {"local": "default_in_memory_ttl", "redis": "default_in_redis_ttl"}


def read_cache(sections: Mapping[str, Node], around: Surroundings, problems: Problems) -> CacheConfig:
    """cache_params wins over cache_settings."""
    litellm, environ = around.litellm, around.environ
    settings_node = sections.get("cache_settings")
    litellm_node = sections.get("litellm_settings")
    params_node = litellm_node.mapping().get("cache_params") if litellm_node is not None else None
    settings = read_table(settings_node, CACHE_PARAMS, problems)
    params = {**settings, **read_table(params_node, CACHE_PARAMS, problems)}
    enabled = bool(litellm.get("cache", settings.get("enabled", bool(settings))))
    if not enabled:
        if params_node is not None and params_node.value is not None and "cache" not in litellm:
            problems.warn(params_node, "has no effect without `cache: true`")
        return CacheConfig(enabled=False)
    where = params_node or settings_node or (litellm_node.mapping()["cache"] if litellm_node else None)
    assert where is not None  # something enabled it
    kind, address = _backend(params, environ, where, problems)
    defaults = CacheConfig()
    ttl = params.get("ttl", params.get(DEFAULT_TTL_KEYS[kind]))
    return CacheConfig(
        enabled=True,
        type=kind,
        ttl_s=None if ttl is None else max(1, round(ttl)),
        namespace=params.get("namespace", defaults.namespace),
        mode=params.get("mode", defaults.mode),
        redis_url=address,
        redis_nodes=redis_nodes(params, environ) if address is not None else (),
        redis_connections_max=params.get("max_connections", defaults.redis_connections_max),
        supported_call_types=params.get("supported_call_types", defaults.supported_call_types),
        single_flight=params.get("single_flight", defaults.single_flight),
        single_flight_streams=params.get("single_flight_streams", defaults.single_flight_streams),
        semantic=params.get("type", "").endswith("-semantic") or "similarity_threshold" in params,
        similarity_threshold=params.get("similarity_threshold", defaults.similarity_threshold),
        embedding_model=_embedding_model(params, around, where, problems),
        max_false_hit_rate=params.get("max_false_hit_rate", defaults.max_false_hit_rate),
    )


def _backend(
    params: Mapping[str, Any], environ: Mapping[str, str], where: Node, problems: Problems
) -> tuple[str, Secret | None]:
    """local or redis, and the address of Redis. What cannot be had becomes local, with a warning."""
    wanted = params.get("type", "redis")
    at = where.mapping().get("type", where)
    if wanted in ("local", "local-semantic"):
        return "local", None
    if wanted not in ("redis", "redis-semantic"):
        problems.warn(at, f"{wanted} is not supported yet: answers are kept in memory")
        return "local", None
    try:
        address = redis_url(params, environ)
    except ValueError as error:
        variable = CLUSTER_NODES if isinstance(error, NodesError) else "REDIS_PORT"
        problems.error(Node(None, ENVIRONMENT, 0, variable), str(error))
        return "local", None
    if address is None:
        problems.warn(at, "no Redis is named (host, url, REDIS_HOST, REDIS_URL): answers are kept in memory")
        return "local", None
    return "redis", address


def _embedding_model(params: Mapping[str, Any], around: Surroundings, where: Node, problems: Problems) -> str:
    """A public name; empty, with a warning, for one that no entry of model_list answers to."""
    wanted: str = params.get(EMBEDDING_MODEL, "")
    if not wanted or any(fnmatchcase(wanted, group) for group in around.groups):
        return wanted
    at = where.mapping().get(EMBEDDING_MODEL, where)
    problems.warn(at, "is not in model_list: the cache compares questions with its own local model")
    return ""
