"""The HTTP application: hot routes as plain ASGI, management and documentation by FastAPI.

Framework errors (404, 405) and failed validation of management bodies (422) have FastAPI's {"detail": ...},
as LiteLLM's do, beside OpenAI's format, in which everything else is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_chassis.telemetry import Telemetry
from meshgate_edge.http.addresses import AddressGuard, AllowedAddresses
from meshgate_edge.http.body import BodyLimits
from meshgate_edge.http.cache import CacheEndpoints
from meshgate_edge.http.errors import render_error
from meshgate_edge.http.health import HealthEndpoint
from meshgate_edge.http.management_requests import ManagementBodies
from meshgate_edge.http.models import ModelsEndpoint
from meshgate_edge.http.openapi import document_hot_routes
from meshgate_edge.http.tracing import TracingMiddleware
from meshgate_edge.management.credentials import CredentialEndpoints
from meshgate_edge.management.limits import Window
from meshgate_edge.management.router import ManagementEndpoints

CHAT_PATHS = (
    "/v1/chat/completions",
    "/chat/completions",
    "/engines/{model:path}/chat/completions",
    "/openai/deployments/{model:path}/chat/completions",
)
COMPLETION_PATHS = (
    "/v1/completions",
    "/completions",
    "/engines/{model:path}/completions",
    "/openai/deployments/{model:path}/completions",
)
EMBEDDING_PATHS = (
    "/v1/embeddings",
    "/embeddings",
    "/engines/{model:path}/embeddings",
    "/openai/deployments/{model:path}/embeddings",
)
PREFLIGHT_S = 600
PATH_CHARACTERS_TOLD_MAX = 100
INVALID_STATUS = 422  # what LiteLLM's clients know for a wrong type
MANAGEMENT_BYTES_MAX = 1024 * 1024
EXPOSED_HEADERS = (
    "x-litellm-call-id",
    "x-litellm-model-id",
    "x-litellm-model-group",
    "x-litellm-response-cost",
    "x-litellm-cache-key",
    "x-cache-status",
    "x-meshgate-not-enforced",
    "retry-after",
)


async def nothing_waits() -> None:
    """For who posts nothing behind an answer."""


MetricsGuard = Callable[[Request], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HttpParts:
    """The endpoints, already built, and what all of them share."""

    chat: ASGIApp
    completions: ASGIApp
    embeddings: ASGIApp
    models: ModelsEndpoint
    health: HealthEndpoint
    management: ManagementEndpoints
    cache: CacheEndpoints
    registry: CollectorRegistry
    config: GatewayConfig
    telemetry: Telemetry
    version: str
    reports: tuple[APIRouter, ...] = ()
    credentials: CredentialEndpoints | None = None
    caught_up: Callable[[], Awaitable[None]] = nothing_waits  # see Settlement.caught_up
    metrics_guard: MetricsGuard | None = None  # raises for who may not see /metrics; None: everybody may


def build_http_app(parts: HttpParts) -> ASGIApp:
    """An ASGI application; it starts and stops nothing."""
    app = _DocumentedApp(
        title="meshgate",
        version=parts.version,
        description="An LLM gateway: OpenAI's API in front of many providers.",
        middleware=_middleware(parts),
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
        },  # ours instead
        exception_handlers={
            MeshError: _answer_error,
            HTTPException: _answer_no_route,
            RequestValidationError: _answer_invalid,
            Exception: _answer_defect,
        },
        routes=[
            *(Route(path, parts.chat, methods=["POST"], name="chat") for path in CHAT_PATHS),
            *(
                Route(path, parts.completions, methods=["POST"], name="completions")
                for path in COMPLETION_PATHS
            ),
            *(Route(path, parts.embeddings, methods=["POST"], name="embeddings") for path in EMBEDDING_PATHS),
            *parts.models.routes(),
            *parts.health.routes(),
            *_MetricsEndpoint(parts.registry, parts.metrics_guard).routes(),
            Route("/", _Home(parts.version).show, methods=["GET"]),
        ],
    )
    app.include_router(parts.management.router())
    app.include_router(parts.cache.router())
    if parts.credentials is not None:
        app.include_router(parts.credentials.router())
    for router in parts.reports:
        app.include_router(router)
    hot = {
        path: ServerErrorMiddleware(endpoint, handler=_answer_defect)
        for paths, endpoint in ((CHAT_PATHS, parts.chat), (EMBEDDING_PATHS, parts.embeddings))
        for path in paths
        if "{" not in path
    }
    served: ASGIApp = _HotPaths(app, hot)
    access = parts.config.access
    if access.allowed_ips:
        allowed = AllowedAddresses(access.allowed_ips, behind_proxy=access.behind_proxy)
        served = AddressGuard(served, allowed)
    return TracingMiddleware(served, parts.telemetry) if parts.telemetry.enabled else served


class _HotPaths:
    """POST to a hot path goes straight to its endpoint: the way through FastAPI costs half as much again.

    What a browser sends (`origin`) goes the long way, because CORS is decided there.
    """

    def __init__(self, app: ASGIApp, hot: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = self._hot.get(scope["path"]) if scope["type"] == "http" else None
        if hot is None or scope["method"] != "POST" or any(name == b"origin" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
        else:
            await hot(scope, receive, send)


class _DocumentedApp(FastAPI):
    """FastAPI, with the hot routes in its documentation."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document_hot_routes(super().openapi())
        return self.openapi_schema


class _Home:
    """GET /: a sign at the door."""

    def __init__(self, version: str) -> None:
        self._body = dumps({"service": "meshgate", "version": version, "docs": "/docs", "health": "/health"})

    async def show(self, _request: Request) -> Response:
        return Response(self._body, media_type="application/json")


class _MetricsEndpoint:
    """Always the classic text format: in OpenMetrics a counter and its twin would collide."""

    def __init__(self, registry: CollectorRegistry, guard: MetricsGuard | None) -> None:
        self._registry = registry
        self._guard = guard

    def routes(self) -> list[Route]:
        return [Route(path, self.show, methods=["GET"]) for path in ("/metrics", "/metrics/")]

    async def show(self, request: Request) -> Response:
        if self._guard is not None:
            await self._guard(request)
        # Thousands of series take their time; calls go on meanwhile.
        text = await asyncio.to_thread(generate_latest, self._registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})


def _middleware(parts: HttpParts) -> list[Middleware]:
    """Pure ASGI only, outermost first."""
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(parts.config.allowed_origins),
            allow_methods=["GET", "POST", "OPTIONS"],
            allow_headers=["*"],
            allow_credentials=False,
            expose_headers=list(EXPOSED_HEADERS),
            max_age=PREFLIGHT_S,
        ),
        Middleware(ManagementBodies, limits=BodyLimits(MANAGEMENT_BYTES_MAX), caught_up=parts.caught_up),
    ]


# What pydantic adds to a path where a member may be of several types.
_TYPES_OF_MEMBERS = frozenset({Window.__name__, "decimal"})


async def _answer_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshError), "registered for MeshError"
    rendered = render_error(error)
    headers = {name.decode(): value.decode() for name, value in rendered.headers}
    return Response(
        dumps(rendered.body), status_code=rendered.status, headers=headers, media_type="application/json"
    )


async def _answer_no_route(request: Request, error: Exception) -> Response:
    """There is no such path, or no such method of it: in OpenAI's format, and as FastAPI tells it."""
    assert isinstance(error, HTTPException), "registered for it"
    asked = f"{request.method} {request.url.path[:PATH_CHARACTERS_TOLD_MAX]}"
    message = f"There is no {asked} here ({error.detail}); GET /docs shows what there is."
    told = {"message": message, "type": "not_found_error", "param": None, "code": str(error.status_code)}
    return Response(
        dumps({"error": told, "detail": error.detail}),
        status_code=error.status_code,
        headers=dict(error.headers or {}),
        media_type="application/json",
    )


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    """A member of a management body, or of its query, has a wrong type: in OpenAI's format, and as FastAPI
    tells it but for what was sent, which may be a secret."""
    assert isinstance(error, RequestValidationError), "registered for it"
    told = [{name: each[name] for name in ("type", "loc", "msg")} for each in error.errors()]
    path = _member_of(told[0]["loc"]) or "request_body"
    rendered = render_error(invalid_field(path, f"{path}: {told[0]['msg']}"))
    body = rendered.body | {"detail": told}
    body["error"]["code"] = str(INVALID_STATUS)
    return Response(dumps(body), status_code=INVALID_STATUS, media_type="application/json")


def _member_of(loc: Sequence[int | str]) -> str:
    """As the client writes it: without `body`, the offset into text that is no JSON, and our types' names."""
    if len(loc) == 2 and isinstance(loc[1], int):
        return ""
    return ".".join(str(part) for part in loc[1:] if part not in _TYPES_OF_MEMBERS)


async def _answer_defect(request: Request, _error: Exception) -> Response:
    """A defect: the server logs it, the client learns nothing of it."""
    return await _answer_error(request, MeshError(Code.INTERNAL, "UNEXPECTED", ""))
