"""Two cache replicas on one Redis behind one edge, as real processes: killed, flushed, restarted."""

import asyncio
import contextlib
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from meshgate_chassis.rpc import check_health
from tests.process.test_services_alone import environment_of, is_ready, running
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.postgres import postgres_dsn, postgres_server
from tests.support.redis_server import RedisServer, own_redis_server
from tests.support.running_mesh import free_port

__all__ = ["own_redis_server", "postgres_dsn", "postgres_server"]

MASTER_KEY = "sk-alone-master"
CONFIG = """
model_list:
  - model_name: demo
    litellm_params: {{model: openai/demo, api_base: "{url}/v1", api_key: none-needed}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
router_settings: {{num_retries: 0}}
litellm_settings:
  cache: true
  cache_params: {{type: redis-semantic, url: "{redis}", ttl: 600}}
"""
CALLERS = 6
QUESTIONS = 5  # few, so that calls hit, and often ask the same at the same time
CALLS_EACH = 60
CLIENT_DEADLINE_S = 30.0


@dataclass
class Mesh:
    """One edge, two caches; `processes` by name."""

    url: str
    folder: Path
    environment: dict[str, str]
    stack: contextlib.ExitStack
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    round: int = 0
    stopping: bool = False
    semantic_hit_count: int = 0

    async def start(self, name: str) -> None:
        """A cache replica at its own address."""
        service = name.rstrip("01")
        environment = dict(self.environment)
        target = environment[f"TARGET_{name}"]
        environment[f"MESHGATE_{service.upper()}_LISTEN"] = target
        self.processes[name] = self.stack.enter_context(running(service, environment, self.folder))
        await eventually(lambda: serves(target, service), f"{name} serves", 60)

    def kill(self, name: str) -> None:
        process = self.processes[name]
        process.kill()
        process.wait()

    async def caller(self, session: aiohttp.ClientSession) -> None:
        number = 0
        while not self.stopping:
            number += 1
            self.outcomes[await self._call(session, number)] += 1

    async def _call(self, session: aiohttp.ClientSession, number: int) -> str:
        """HIT, MISS, or what went wrong."""
        greeting = "Hello! " if number % 2 else ""  # another text, and the same question
        text = f"{greeting}What is the answer to question {number % QUESTIONS} of round {self.round}?"
        body = {"model": "demo", "stream": number % 3 == 0, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        try:
            async with asyncio.timeout(CLIENT_DEADLINE_S):
                async with session.post(
                    f"{self.url}/v1/chat/completions", json=body, headers=headers
                ) as answer:
                    content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        if answer.status != 200 or (body["stream"] and not content.endswith(b"data: [DONE]\n\n")):
            return f"{answer.status} {content[-300:]!r}"
        self.semantic_hit_count += "x-litellm-semantic-similarity" in answer.headers
        return answer.headers["x-cache-status"]

    async def goes_on(self, what: str) -> None:
        """Calls end well, and answers come from the cache again."""
        self.round += 1
        calls, hits = self.outcomes.total(), self.outcomes["HIT"]
        await eventually(
            lambda: self.outcomes.total() >= calls + CALLS_EACH and self.outcomes["HIT"] > hits, what, 90
        )


async def serves(target: str, service: str) -> bool:
    return await check_health(target, tls=None, server_name=service, timeout_s=1.0)


@pytest.fixture
async def mesh(postgres_dsn: str, own_redis_server: RedisServer) -> AsyncIterator[Mesh]:
    """All services but the first cache's addresses on Unix sockets."""
    async with demo_provider() as provider:
        with tempfile.TemporaryDirectory(prefix="mg") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            config = CONFIG.format(url=provider.url, redis=own_redis_server.url)
            (folder / "config.yaml").write_text(config)
            port = free_port()
            caches = [f"127.0.0.1:{free_port()}" for _ in "01"]
            environment = environment_of(folder, postgres_dsn, port) | {
                "MESHGATE_CACHE_ADDRESS": f"ipv4:{','.join(caches)}",
                "MESHGATE_PLAINTEXT_ALLOWED": "true",
                "MESHGATE_EDGE_LOOKUP_TIMEOUT_S": "0.5",  # the machine may have other work
                "MESHGATE_CACHE_LOOKUP_TIMEOUT_S": "0.4",
                "TARGET_cache0": caches[0],
                "TARGET_cache1": caches[1],
                **{
                    f"TARGET_{service}": f"unix:{folder}/{service}.sock"
                    for service in ("ledger", "compression", "router", "edge")
                },
            }
            mesh = Mesh(f"http://127.0.0.1:{port}", folder, environment, stack)
            for service in ("ledger", "compression", "router", "cache0", "cache1", "edge"):
                await mesh.start(service)
            await eventually(lambda: is_ready(mesh.url), "the edge is ready", 60)
            yield mesh


@pytest.mark.timeout(300)  # eight processes start, two of them with the model
async def test_no_error_reaches_a_client(mesh: Mesh, own_redis_server: RedisServer) -> None:
    """kill -9 of one replica, then of the other, of Redis, and a flush: calls only miss for a while."""
    async with aiohttp.ClientSession() as session:
        callers = [asyncio.create_task(mesh.caller(session)) for _ in range(CALLERS)]
        try:
            await mesh.goes_on("traffic")
            mesh.kill("cache0")
            await mesh.goes_on("calls with one replica")
            await mesh.start("cache0")
            await mesh.goes_on("calls with both again")
            await asyncio.to_thread(own_redis_server.command, "FLUSHALL")
            await mesh.goes_on("calls after the flush")
            await asyncio.to_thread(own_redis_server.restart)
            await mesh.goes_on("calls after the restart")
            mesh.kill("cache1")
            await asyncio.to_thread(own_redis_server.kill)
            misses = mesh.outcomes["MISS"]
            mesh.round += 1
            await eventually(lambda: mesh.outcomes["MISS"] > misses + CALLS_EACH, "calls without Redis", 90)
            await asyncio.to_thread(own_redis_server.start)
            await mesh.goes_on("calls after all of it")
        finally:
            mesh.stopping = True
            await asyncio.gather(*callers)

    assert {"HIT", "MISS"} == set(mesh.outcomes), mesh.outcomes
    assert mesh.semantic_hit_count > 0
