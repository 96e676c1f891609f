"""The chain of the home-lab deployment: vLLM hangs, Ollama is too slow, OpenAI answers; then nobody waits."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.mesh.subject import Answer, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import mesh_in_process

CHAT = "/v1/chat/completions"
VLLM_TIMEOUT_S, OLLAMA_TIMEOUT_S = 0.5, 0.7  # of the deployment: 3 and 120
CONFIG = """
model_list:
  - model_name: vllm-qwen
    litellm_params:
      {{model: openai/Qwen/Qwen2.5-7B, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-none,
       timeout: {vllm_s}, input_cost_per_token: 0, output_cost_per_token: 0}}
    model_info: {{id: vllm}}
  - model_name: ollama-qwen
    litellm_params:
      {{model: openai/qwen-ollama, api_base: "{url}/v1", api_key: sk-none, timeout: {ollama_s},
       input_cost_per_token: 0, output_cost_per_token: 0}}
    model_info: {{id: ollama}}
  - model_name: openai-gpt4o
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "{url}/v1", api_key: sk-openai, timeout: 30}}
    model_info: {{id: openai}}
litellm_settings:
  request_timeout: 30
  fallbacks: [{{vllm-qwen: [ollama-qwen]}}, {{ollama-qwen: [openai-gpt4o]}}]
  allowed_fails: 1
  cooldown_time: 30
general_settings: null
"""


@dataclass
class BlackHole:
    """Accepts connections, reads, and never answers."""

    port: int = 0
    connections: list[asyncio.StreamWriter] = field(default_factory=list)

    async def accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[BlackHole]:
    hole = BlackHole()
    server = await asyncio.start_server(hole.accept, "127.0.0.1", 0)
    hole.port = server.sockets[0].getsockname()[1]
    try:
        yield hole
    finally:
        server.close()
        for writer in hole.connections:
            writer.close()


@dataclass
class HomeLab:
    """The mesh with its three tiers."""

    subject: Subject
    vllm: BlackHole

    async def ask(self, text: str) -> tuple[Answer, float]:
        """The answer, and how long it took."""
        start_s = time.monotonic()
        body = {"model": "vllm-qwen", "messages": [{"role": "user", "content": text}]}
        answer = await self.subject.post(CHAT, body)
        return answer, time.monotonic() - start_s

    async def health(self) -> dict[str, str]:
        """`/health`, as a probe without a key sees it: deployments and how they are."""
        async with self.subject.session.get(f"{self.subject.mesh.url}/health") as answer:
            told = await answer.json()
        return {
            each["model_id"]: each.get("health", "")
            for each in (*told["healthy_endpoints"], *told["unhealthy_endpoints"])
        }


@pytest.fixture
async def lab(postgres_dsn: str) -> AsyncIterator[HomeLab]:
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider, black_hole() as vllm, aiohttp.ClientSession() as session:
            config = CONFIG.format(
                url=provider.url, port=vllm.port, vllm_s=VLLM_TIMEOUT_S, ollama_s=OLLAMA_TIMEOUT_S
            )
            async with mesh_in_process(config, folder, postgres_dsn) as mesh:
                yield HomeLab(Subject(mesh, provider, session), vllm)
    finally:
        shutil.rmtree(folder)


async def test_the_chain_answers_and_dead_tiers_are_left_alone(lab: HomeLab) -> None:
    """After two failures of a tier in a minute, as allowed_fails: 1 says literally, nobody waits for it."""
    question = "Hello demo:fail=hang_before_headers@qwen-ollama"
    waited = [await lab.ask(f"{question} {number}") for number in range(2)]
    for answer, duration_s in waited:
        assert 200 == answer.status
        assert "gpt-4o-mini" in answer.json["model"]
        assert VLLM_TIMEOUT_S + OLLAMA_TIMEOUT_S <= duration_s
        assert ("openai", "openai-gpt4o", "0", "2") == tuple(
            answer.headers[f"x-litellm-{name}"]
            for name in ("model-id", "model-group", "attempted-retries", "attempted-fallbacks")
        )
    assert 2 == len(lab.vllm.connections)

    answer, duration_s = await lab.ask(f"{question} again")
    assert (200, "2") == (answer.status, answer.headers["x-litellm-attempted-fallbacks"])
    assert 2 == len(lab.vllm.connections)
    assert duration_s < VLLM_TIMEOUT_S


async def test_health_tells_who_is_left_alone(lab: HomeLab) -> None:
    """Without a key and without a call."""
    for number in range(2):
        await lab.ask(f"Hello demo:fail=hang_before_headers@qwen-ollama {number}")
    expected = {"vllm": "cooling_down", "ollama": "cooling_down", "openai": "healthy"}

    async def told() -> bool:
        return await lab.health() == expected

    await eventually(told, "the edge has read the router's state")
    assert 2 == len(lab.vllm.connections)


async def test_when_all_fail_all_are_named(lab: HomeLab) -> None:
    """The first failure's status; every tier with its reason."""
    answer, _ = await lab.ask("Hello demo:fail=500")
    message = answer.json["error"]["message"]

    assert 408 == answer.status
    told = ("vllm-qwen", "PROVIDER_TIMEOUT", "ollama-qwen", "openai-gpt4o", "PROVIDER_UNAVAILABLE")
    for words in ("All models failed", *told):
        assert words in message
