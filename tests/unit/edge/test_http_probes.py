"""Health, models, metrics, cache and documentation: what monitors and clients read before they call."""

import pytest

from meshgate_chassis.config.model import CacheConfig, GatewayConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.health import CacheStatus, MeshState
from tests.unit.edge.rim import CHAT, QUESTION, Rim, deployment, serving

UP = MeshState(ledger=True, cache=True, compression=True, router=True)
NO_ROUTER = MeshState(ledger=True, cache=True, compression=True, router=False)
NO_LEDGER = MeshState(ledger=False, cache=True, compression=True, router=True)
NO_STORE = MeshState(ledger=True, cache=True, compression=True, router=True, store=False)
NO_CACHE = MeshState(ledger=True, cache=False, compression=True, router=True)


@pytest.mark.parametrize("path", ["/health/liveliness", "/health/liveness"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_aliveness(rim: Rim, path: str, method: str) -> None:
    """A JSON string, for anyone."""
    answer = await rim.ask(method, path, headers={})

    assert 200 == answer.status
    if method == "GET":
        assert "I'm alive!" == answer.json()


@pytest.mark.parametrize(
    ("mesh", "status", "words"),
    [
        (UP, 200, "healthy"),
        (NO_CACHE, 200, "healthy"),
        (NO_LEDGER, 503, "unhealthy"),
        (NO_ROUTER, 503, "unhealthy"),
    ],
)
async def test_readiness(rim: Rim, mesh: MeshState, status: int, words: str) -> None:
    """Without a cache calls are still answered; without ledger or router they are not."""
    rim.mesh = mesh
    answer = await rim.ask("GET", "/health/readiness", headers={})

    assert (status, words) == (answer.status, answer.json()["status"])
    assert ("connected" if mesh.ledger else "Not connected") == answer.json()["db"]


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (UP, "healthy"),
        (NO_CACHE, "degraded"),
        (NO_STORE, "degraded"),
        (NO_LEDGER, "unhealthy"),
        (NO_ROUTER, "unhealthy"),
    ],
)
async def test_health(mesh: MeshState, words: str) -> None:
    """Always 200, because probes restart what answers otherwise; no key, no provider call."""
    config = GatewayConfig(deployments=(deployment("gpt"), deployment("gpt"), deployment("claude")))
    async with serving(Rim(mesh=mesh, config=config)) as rim:
        answer = await rim.ask("GET", "/health", headers={})

    told = answer.json()
    assert (200, words) == (answer.status, told["status"])
    assert (["gpt", "claude"], 2) == (told["models"], told["model_count"])
    assert (3 if mesh.router else 0) == told["healthy_count"] == len(told["healthy_endpoints"])
    assert 3 - told["healthy_count"] == told["unhealthy_count"] == len(told["unhealthy_endpoints"])
    assert ("connected" if mesh.ledger else "disconnected") == told["database"]
    assert {"uptime", "version", "redis", "cache"} <= set(told)
    assert [] == rim.pipeline.calls


async def test_health_tells_of_the_cache() -> None:
    """Its type, when there is one."""
    async with serving(Rim(config=GatewayConfig(cache=CacheConfig(enabled=True, type="local")))) as rim:
        assert {"enabled": True, "type": "local"} == (await rim.ask("GET", "/health")).json()["cache"]


async def test_cache_ping(rim: Rim) -> None:
    """Without a key, with hits and misses."""
    answer = await rim.ask("GET", "/cache/ping", headers={})

    assert (200, "healthy", 1, 2) == (
        answer.status,
        answer.json()["status"],
        answer.json()["hits"],
        answer.json()["misses"],
    )


@pytest.mark.parametrize(
    "cache",
    [
        CacheStatus(enabled=False, backend="memory", reachable=True, hit_count=0, miss_count=0),
        CacheStatus(enabled=True, backend="redis", reachable=False, hit_count=0, miss_count=0),
        MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "10.0.0.1 refused"),
    ],
    ids=["disabled", "unreachable", "service down"],
)
async def test_cache_ping_without_a_cache(rim: Rim, cache: CacheStatus | MeshError) -> None:
    """503, as LiteLLM says it."""
    rim.cache = cache
    answer = await rim.ask("GET", "/cache/ping", headers={})

    assert (503, "cache_ping_error") == (answer.status, answer.error["type"])


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_metrics_are_open_and_classic(rim: Rim, path: str, method: str) -> None:
    """Whatever a scraper says it accepts."""
    headers = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = await rim.ask(method, path, headers=headers)

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (
        answer.status,
        answer.headers["content-type"],
    )


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models/"])
async def test_models_are_listed(rim: Rim, path: str) -> None:
    """As OpenAI lists them, with provider and mode."""
    answer = await rim.ask("GET", path)

    first, second = answer.json()["data"]
    assert ("list", "gpt", "a/b") == (answer.json()["object"], first["id"], second["id"])
    assert ("model", 1677610602, "openai", "chat") == (
        first["object"],
        first["created"],
        first["provider"],
        first["mode"],
    )


@pytest.mark.parametrize("path", ["/v1/models/a/b", "/models/a/b", "/v1/models/a%2Fb"])
async def test_a_model_whose_id_has_a_slash(rim: Rim, path: str) -> None:
    """Written in any way."""
    assert "a/b" == (await rim.ask("GET", path)).json()["id"]


async def test_a_model_that_is_not_listed(rim: Rim) -> None:
    """404 in the formats of OpenAI and of LiteLLM."""
    answer = await rim.ask("GET", "/v1/models/gpt-9")

    text = "The model `gpt-9` does not exist or is not accessible"
    assert (404, text, text) == (answer.status, answer.json()["detail"], answer.error["message"])


async def test_models_need_a_key(rim: Rim) -> None:
    """A valid one: the catalog decides."""
    assert 401 == (await rim.ask("GET", "/v1/models", headers={})).status
    rim.catalog.error = MeshError(Code.UNAUTHENTICATED, "KEY_EXPIRED", "the key has expired")

    answer = await rim.ask("GET", "/v1/models", headers={"x-api-key": "sk-expired-long-ago"})
    assert (401, "expired_key") == (answer.status, answer.error["type"])


async def test_documentation_has_the_hot_routes(rim: Rim) -> None:
    """Although FastAPI does not serve them."""
    schema = (await rim.ask("GET", "/openapi.json", headers={})).json()

    assert {CHAT, "/v1/models", "/health", "/metrics", "/key/generate", "/key/info"} <= set(schema["paths"])
    assert {"OpenAIError", "GenerateKeyRequest"} <= set(schema["components"]["schemas"])
    assert 200 == (await rim.ask("GET", "/docs", headers={})).status


async def test_the_door_has_a_sign(rim: Rim) -> None:
    """GET / tells what this is."""
    assert "meshgate" == (await rim.ask("GET", "/", headers={})).json()["service"]


async def test_browsers_are_answered_by_configuration() -> None:
    """Preflights and answers name an allowed origin, and no other."""
    config = GatewayConfig(allowed_origins=("https://app.example",))
    async with serving(Rim(config=config)) as rim:
        asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
        allowed = await rim.ask("OPTIONS", CHAT, headers=asked)
        refused = await rim.ask("OPTIONS", CHAT, headers=asked | {"origin": "https://evil.example"})
        answer = await rim.ask(
            "POST", CHAT, QUESTION, {"x-api-key": str(rim.master_key), "origin": "https://app.example"}
        )

    assert (200, "600") == (allowed.status, allowed.headers["access-control-max-age"])
    assert 400 == refused.status
    assert "access-control-allow-origin" not in refused.headers
    assert (200, "https://app.example") == (answer.status, answer.headers["access-control-allow-origin"])
