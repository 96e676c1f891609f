"""A mesh of two edges and two caches over a real Redis Cluster."""

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.mesh.subject import CONFIG, Subject
from tests.mesh.two_replicas import status
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_replicas import mesh_replicas
from tests.support.redis_cluster import RedisCluster, redis_cluster

__all__ = ["redis_cluster"]


@pytest.fixture
async def two(postgres_dsn: str, redis_cluster: RedisCluster) -> AsyncIterator[list[Subject]]:
    """The edges; the configuration is LiteLLM's."""
    redis_cluster.flush()
    nodes = json.dumps([{"host": host, "port": str(port)} for host, port in redis_cluster.nodes])
    config = CONFIG.replace("{{type: local,", "{{type: redis, redis_startup_nodes: NODES,")
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider, aiohttp.ClientSession() as session:
            config = config.format(url=provider.url).replace("NODES", nodes)
            async with mesh_replicas(config, folder, postgres_dsn) as replicas:
                yield [Subject(mesh, provider, session) for mesh in replicas.meshes]
    finally:
        shutil.rmtree(folder)


async def test_answers_are_shared_and_flushed(two: list[Subject]) -> None:
    """Each of many questions is answered once, whoever asks, until all of it is flushed."""
    for number in range(12):
        assert "MISS" == status(await two[number % 2].ask(f"Question {number}"))

    async def all_hit() -> bool:
        answers = [await two[1 - number % 2].ask(f"Question {number}") for number in range(12)]
        return {status(answer) for answer in answers} == {"HIT"}

    await eventually(all_hit, "the other replica finds them")
    assert 12 == (await two[0].post("/cache/flushall", {})).json["deleted"]
    assert {"MISS"} == {status(await each.ask("Question 3")) for each in two[1:]}


async def test_one_call_for_all(two: list[Subject]) -> None:
    """Claims hold over the cluster: of 24 equal calls at two edges one reaches the provider."""
    question = "What is the capital of France? demo:first=0.7"
    answers = await asyncio.gather(*(two[number % 2].ask(question) for number in range(24)))

    assert {"MISS": 1, "HIT": 23} == Counter(status(answer) for answer in answers)
    assert 1 == len(await two[0].served())
