"""A mesh of two edges with a cache each, over one Redis, whose questions are found by a model's vectors."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from tests.mesh.subject import CONFIG, Answer, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_replicas import Replicas, mesh_replicas

MODELS = """model_list:
  - model_name: words
    litellm_params:
      model: openai/embed-words
      api_base: {url}/v1
      api_key: sk-provider-secret
      input_cost_per_token: 0.0000001
"""
CACHE = "type: redis, url: '{redis}', similarity_threshold: 0.8, redis_semantic_cache_embedding_model: words,"
CAPITAL = "What is the capital of France?"
CAPITAL_CITY = "What is the capital city of France?"
TRAP = "What is the capital of Germany?"
EMBEDDINGS = "/v1/embeddings"


class Two(list[Subject]):
    """Two edges with a cache each; what they have in common."""

    replicas: Replicas

    def of(self, replicas: Replicas) -> Self:
        self.replicas = replicas
        return self

    async def embedded(self) -> list[str]:
        """The texts that the provider was asked the vectors of."""
        asked = [request for request in await self[0].served() if request["path"] == EMBEDDINGS]
        return [text for request in asked for text in request["body"]["input"]]

    async def fault(self, name: str | None) -> None:
        """Of every request for vectors from now on; None: none."""
        fault = {"faults": [] if name is None else [{"fault": name, "model": "embed-words"}]}
        async with self[0].session.put(f"{self[0].provider.url}/demo/faults", json=fault) as done:
            assert done.status < 300, await done.text()

    async def stored(self, text: str, key: str | None = None, **members: Any) -> Answer:
        """Asks, and waits until the answer is in the cache and the question is known to both."""
        known = [await _questions(each) for each in self]
        answer = await self[0].ask(text, key, **members)

        async def is_known() -> bool:
            return all([await _questions(each) > before for each, before in zip(self, known, strict=True)])

        await eventually(is_known, "both replicas know the question")
        return answer


async def _questions(subject: Subject) -> int:
    return int((await subject.get("/cache/stats")).json["semantic"]["questions"])


def config_of(redis: str, cache: str = CACHE) -> str:
    """The mesh's, with a model of vectors."""
    text = CONFIG.replace("model_list:\n", MODELS, 1)
    return text.replace("type: local,", cache.replace("{redis}", redis))


@pytest.fixture
async def two(postgres_dsn: str, redis_url: str) -> AsyncIterator[Two]:
    """Two edges in front of the same provider."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider, aiohttp.ClientSession() as session:
            config = config_of(redis_url).format(url=provider.url)
            async with mesh_replicas(config, folder, postgres_dsn) as replicas:
                yield Two(Subject(mesh, provider, session) for mesh in replicas.meshes).of(replicas)
    finally:
        shutil.rmtree(folder)


def status(answer: Answer) -> str:
    """HIT or MISS."""
    assert 200 == answer.status, answer.body
    return str(answer.headers["x-cache-status"])
