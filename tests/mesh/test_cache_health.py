"""What operators see of a Redis that went away, while calls go on."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from tests.mesh.subject import CONFIG, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import mesh_in_process
from tests.support.redis_server import RedisServer, own_redis_server

__all__ = ["own_redis_server"]


async def seen(subject: Subject) -> tuple[Any, ...]:
    """/health, /cache/ping, the gauge, and whether calls are answered."""
    health = (await subject.get("/health")).json
    metrics = (await subject.get("/metrics")).body.decode().splitlines()
    gauge = next(line.split()[1] for line in metrics if line.startswith("litellm_redis_cache_up "))
    ping = (await subject.get("/cache/ping")).status
    return health["status"], health["redis"], gauge, ping, (await subject.ask("What is it?")).status


async def test_memory_has_no_redis_to_ask(subject: Subject) -> None:
    """A 400 that says so, for administrators."""
    answer = await subject.get("/cache/redis/info")
    assert (400, True) == (answer.status, "memory" in answer.json["error"]["message"])
    assert 401 == (await subject.get("/cache/redis/info", await subject.new_key())).status


async def test_a_redis_that_went_away_is_told(postgres_dsn: str, own_redis_server: RedisServer) -> None:
    """Degraded, not unhealthy: nobody restarts what answers. And told again when it is back."""
    config = CONFIG.replace("type: local,", f"type: redis, url: '{own_redis_server.url}',")
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider, aiohttp.ClientSession() as session:
            async with mesh_in_process(config.format(url=provider.url), folder, postgres_dsn) as mesh:
                subject = Subject(mesh, provider, session)

                async def up() -> bool:
                    return await seen(subject) == ("healthy", "connected", "1.0", 200, 200)

                async def down() -> bool:
                    return await seen(subject) == ("degraded", "disconnected", "0.0", 503, 200)

                await eventually(up, "Redis answers")
                own_redis_server.kill()
                await eventually(down, "Redis is told to be away")
                own_redis_server.start()
                await eventually(up, "Redis is told to be back")
    finally:
        shutil.rmtree(folder)
