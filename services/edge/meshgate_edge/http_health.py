"""Is the gateway alive, ready, and what does it serve: always at once, from what is known already."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshgate_chassis.chat.json import JsonObject, dumps
from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, GatewayConfig
from meshgate_chassis.errors import MeshError

JSON_TYPE = "application/json"
ALIVE = b'"I\'m alive!"'


@dataclass(frozen=True, slots=True)
class MeshState:
    """Which services said, when they were last asked, that they serve."""

    ledger: bool
    cache: bool
    compression: bool
    router: bool

    @property
    def ready(self) -> bool:
        """Calls can be answered: cache and compression only make them cheaper."""
        return self.ledger and self.router


class Readiness(Protocol):
    """What watches the mesh, in the background."""

    def state(self) -> MeshState:
        """The last known state; never waits."""


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The cache service's own view: `backend` is memory or redis."""

    enabled: bool
    backend: str
    reachable: bool
    hit_count: int
    miss_count: int


CachePing = Callable[[], Awaitable[CacheStatus]]  # raises MeshError


@dataclass(frozen=True, slots=True)
class HealthParts:
    """What the endpoints tell of."""

    readiness: Readiness
    config: GatewayConfig
    clock: Clock
    version: str
    ping_cache: CachePing


class HealthEndpoint:
    """Unauthenticated; calls no provider."""

    def __init__(self, parts: HealthParts) -> None:
        self._parts = parts
        self._start_s = parts.clock.monotonic_s()

    def routes(self) -> list[Route]:
        """All of them answer GET and HEAD; the aliveness probes OPTIONS as well."""
        probe = ["GET", "OPTIONS"]
        return [
            Route("/health/liveliness", self.alive, methods=probe),
            Route("/health/liveness", self.alive, methods=probe),
            Route("/health/readiness", self.ready, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/cache/ping", self.cache_ping, methods=["GET"]),
        ]

    async def alive(self, _request: Request) -> Response:
        """This process answers."""
        return Response(ALIVE, media_type=JSON_TYPE)

    async def ready(self, _request: Request) -> Response:
        """200 when calls can be answered, 503 when not."""
        state = self._parts.readiness.state()
        body: JsonObject = {
            "status": "healthy" if state.ready else "unhealthy",
            "db": "connected" if state.ledger else "Not connected",
            "cache": self._cache_name(),
            "litellm_version": self._parts.version,
            "success_callbacks": [],
            "services": asdict(state),
        }
        return _json(body, 200 if state.ready else 503)

    async def health(self, _request: Request) -> Response:
        """Always 200, because probes restart what answers otherwise; `status` tells."""
        state = self._parts.readiness.state()
        deployments = self._parts.config.deployments
        models = list(dict.fromkeys(deployment.model_group for deployment in deployments))
        endpoints = [_endpoint(deployment) for deployment in deployments]
        healthy, unhealthy = (endpoints, []) if state.router else ([], endpoints)
        body = {
            "status": _status(state),
            "models": models,
            "model_count": len(models),
            "healthy_endpoints": healthy,
            "unhealthy_endpoints": unhealthy,
            "healthy_count": len(healthy),
            "unhealthy_count": len(unhealthy),
            "uptime": round(self._parts.clock.monotonic_s() - self._start_s, 3),
            "version": self._parts.version,
            "database": "connected" if state.ledger else "disconnected",
            "redis": self._redis(state),
            "cache": {"enabled": self._parts.config.cache.enabled, "type": self._cache_name()},
            "services": asdict(state),
        }
        return _json(body, 200)

    async def cache_ping(self, _request: Request) -> Response:
        """Asks the cache service; 503 in LiteLLM's words when there is no cache."""
        try:
            status = await self._parts.ping_cache()
        except MeshError:
            return _no_cache("the cache service does not answer")
        if not status.enabled:
            return _no_cache("no cache is configured")
        if not status.reachable:
            return _no_cache("the cache's store does not answer")
        body = {
            "status": "healthy",
            "cache_type": status.backend,
            "ping_response": True,
            "set_cache_response": "success",
            "hits": status.hit_count,
            "misses": status.miss_count,
        }
        return _json(body, 200)

    def _cache_name(self) -> str | None:
        cache = self._parts.config.cache
        return cache.type if cache.enabled else None

    def _redis(self, state: MeshState) -> str:
        if self._parts.config.cache.redis_url is None:
            return "not configured"
        return "connected" if state.cache else "disconnected"


def _status(state: MeshState) -> str:
    if not state.ready:
        return "unhealthy"
    return "healthy" if state.cache and state.compression else "degraded"


def _endpoint(deployment: Deployment) -> JsonObject:
    return {
        "model": f"{deployment.provider}/{deployment.upstream_model}",
        "model_name": deployment.model_group,
        "model_id": deployment.id,
    }


def _no_cache(message: str) -> Response:
    error = {"message": message, "type": "cache_ping_error", "param": "cache_ping", "code": "503"}
    return _json({"error": error}, 503)


def _json(body: JsonObject, status: int) -> Response:
    return Response(dumps(body), status_code=status, media_type=JSON_TYPE)
