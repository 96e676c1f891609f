"""Is the gateway alive, ready, and what does it serve: always at once, from what is known already."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshgate_chassis.chat.json import JsonObject, dumps
from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, GatewayConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.messages import headers_of
from meshgate_edge.http.router_state import (
    RouterState,
    RouterView,
    details_json,
    is_cooling,
    probe_json,
    state_json,
)
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

JSON_TYPE = "application/json"
ALIVE = b'"I\'m alive!"'


@dataclass(frozen=True, slots=True)
class MeshState:
    """Which services said, when they were last asked, that they serve. `store`: the cache's, as it said."""

    ledger: bool
    cache: bool
    compression: bool
    router: bool
    store: bool = True

    @property
    def ready(self) -> bool:
        """Calls can be answered: cache and compression only make them cheaper."""
        return self.ledger and self.router

    @property
    def caching(self) -> bool:
        """Answers can be kept and found."""
        return self.cache and self.store

    @property
    def services(self) -> dict[str, bool]:
        """By name."""
        return {name: told for name, told in asdict(self).items() if name != "store"}


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
Probe = Callable[[str, str], Awaitable[Sequence[router_pb.ProbeResult]]]  # model, deployment id; or MeshError
PROBE_WORDS = ("probe", "deep")  # query parameters: ours


@dataclass(frozen=True, slots=True)
class HealthParts:
    """What the endpoints tell of."""

    readiness: Readiness
    config: GatewayConfig
    clock: Clock
    version: str
    ping_cache: CachePing
    router: RouterView = RouterState
    probe: Probe | None = None  # None: nobody may ask for probes
    authenticator: Authenticator | None = None  # None: everybody is the operator


class HealthEndpoint:
    """Unauthenticated, and calls no provider, except for probes."""

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
            "services": state.services,
        }
        return _json(body, 200 if state.ready else 503)

    async def health(self, request: Request) -> Response:
        """Always 200, because probes restart what answers otherwise; `status` tells. With `probe=true`,
        `model=` or `model_id=` the deployments are called, which only the operator may ask for."""
        query = request.query_params
        model, deployment_id = query.get("model", ""), query.get("model_id", "")
        if model or deployment_id or any(query.get(word, "").lower() == "true" for word in PROBE_WORDS):
            return await self._probed(request, model, deployment_id)
        state, router = self._parts.readiness.state(), self._parts.router()
        deployments = self._parts.config.deployments
        models = list(dict.fromkeys(deployment.model_group for deployment in deployments))
        known = {each.deployment_id: each for each in router.deployments}
        with_details = self._is_operator(request)
        healthy: list[JsonObject] = []
        unhealthy: list[JsonObject] = []
        for deployment in deployments:
            told = known.get(deployment.id)
            down = not state.router or (told is not None and is_cooling(told))
            (unhealthy if down else healthy).append(_endpoint(deployment, told, with_details=with_details))
        body = {
            "status": _status(state, cooling=bool(unhealthy)),
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
            "services": state.services,
            "routing_state_shared": router.shared,
        }
        return _json(body, 200)

    async def _probed(self, request: Request, model: str, deployment_id: str) -> Response:
        """LiteLLM's answer of live calls; 503 when what was named is not healthy."""
        if self._parts.authenticator is not None:
            principal = self._parts.authenticator.authenticate(headers_of(request.scope))
            if principal.kind == "virtual_key":
                raise MeshError(Code.UNAUTHENTICATED, "ADMIN_ONLY", "only the master key may ask for probes")
        if self._parts.probe is None:
            raise MeshError(Code.UNIMPLEMENTED, "ADMIN_ONLY", "there are no probes here")
        results = await self._parts.probe(model, deployment_id)
        healthy = [probe_json(each) for each in results if each.healthy]
        unhealthy = [probe_json(each) for each in results if not each.healthy]
        body = {
            "healthy_endpoints": healthy,
            "unhealthy_endpoints": unhealthy,
            "healthy_count": len(healthy),
            "unhealthy_count": len(unhealthy),
        }
        return _json(body, 503 if (model or deployment_id) and not healthy else 200)

    def _is_operator(self, request: Request) -> bool:
        """Whether the caller shows the master key, or there is none."""
        if self._parts.authenticator is None:
            return True
        try:
            return self._parts.authenticator.authenticate(headers_of(request.scope)).kind != "virtual_key"
        except MeshError:
            return False

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
            "litellm_cache_params": dumps({"type": status.backend}).decode(),
            "health_check_cache_params": {},
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
        return "connected" if state.caching else "disconnected"


def _status(state: MeshState, *, cooling: bool) -> str:
    if not state.ready:
        return "unhealthy"
    return "healthy" if state.caching and state.compression and not cooling else "degraded"


def _endpoint(
    deployment: Deployment, state: router_pb.DeploymentState | None, *, with_details: bool
) -> JsonObject:
    told: JsonObject = {
        "model": f"{deployment.provider}/{deployment.upstream_model}",
        "model_name": deployment.model_group,
        "model_id": deployment.id,
    }
    if state is not None:
        told |= state_json(state) | (details_json(state) if with_details else {})
    return told


def _no_cache(message: str) -> Response:
    error = {"message": message, "type": "cache_ping_error", "param": "cache_ping", "code": "503"}
    return _json({"error": error}, 503)


def _json(body: JsonObject, status: int) -> Response:
    return Response(dumps(body), status_code=status, media_type=JSON_TYPE)
