"""`make bench-cache`: quality of the semantic cache with intervals, and how fast hits are.

    quality   tools/bench_cache_quality.py
    parts     tools/bench_cache_parts.py: by length of a question and by number of questions
    latency   here: the whole mesh in one process over real sockets, real PostgreSQL and Redis, one caller,
              with 1,000 and 100,000 questions known in the one context that is asked; and
              tools/bench_cache_replicas.py: two cache processes on one Redis

Writes docs/benchmarks/semantic-cache.json; QUICK=1 takes a minute and writes nothing.
"""

import argparse
import asyncio
import json
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog
from redis.asyncio import Redis

from meshgate_cache.semantic.memory import give_back_freed_memory
from meshgate_cache.semantic.model import load_onnx_model, packaged_files
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import InProcessMesh, mesh_in_process
from tests.support.postgres import DatabaseServer
from tests.support.redis_server import RedisServer
from tools.bench_cache_parts import key_cost, length_cost, percentiles, resident_mb, search_cost
from tools.bench_cache_quality import SAMPLE, quality
from tools.bench_cache_replicas import STREAM, fill, replicas

TARGET: Final = Path(__file__).parents[1] / "docs/benchmarks/semantic-cache.json"
CONFIG: Final = """
model_list:
  - model_name: demo
    litellm_params: {{model: openai/demo, api_base: {url}/v1, api_key: sk-provider,
                      input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
litellm_settings:
  cache: true
  cache_params: {{type: redis-semantic, url: {redis}, ttl: 3600}}
"""
STORED: Final = "What is the capital of France?"
ALIKE: Final = [
    f"{greeting}{question}"
    for greeting in ("", "hi, ", "hello, ", "Hey, ", "please: ", "thanks! ", "Hi! ", "Hello! ")
    for question in (
        "What is the capital city of France?", "what's the capital of France", "What is France's capital?",
        "Which city is the capital of France?", "Tell me what the capital of France is.",
        "what is the capital of france", "Could you tell me the capital of France?",
    )
]  # fmt: skip
COUNTS: Final = [1_000, 10_000, 100_000, 1_000_000]


async def ask(session: aiohttp.ClientSession, mesh: InProcessMesh, text: str) -> tuple[str, bool, float]:
    """x-cache-status, whether the hit was semantic, and how long it took."""
    body = {"model": "demo", "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {mesh.master_key}"}
    start = time.perf_counter()
    async with session.post(f"{mesh.url}/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.read()
        semantic = "x-litellm-semantic-similarity" in answer.headers
        return answer.headers.get("x-cache-status", ""), semantic, time.perf_counter() - start


@asynccontextmanager
async def mesh_of(config: str, dsn: str) -> AsyncIterator[tuple[InProcessMesh, aiohttp.ClientSession]]:
    """A mesh and a session, for a while."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with mesh_in_process(config, folder, dsn) as mesh, aiohttp.ClientSession() as session:
            yield mesh, session
    finally:
        shutil.rmtree(folder)


async def latency(counts: list[int], rounds: int, dsn: str, redis_url: str) -> dict[str, Any]:
    """Hits through the whole mesh, by number of known questions."""
    told: dict[str, Any] = {}
    redis = Redis.from_url(redis_url)
    async with demo_provider() as provider:
        config = CONFIG.format(url=provider.url, redis=redis_url)
        async with mesh_of(config, dsn) as (mesh, session):

            async def stored() -> bool:
                await ask(session, mesh, STORED)
                return bool(await redis.exists(STREAM))

            await eventually(stored, "the first answer is stored")
        known = 0
        for count in counts:
            await fill(redis, count - 1, known)  # and the one that was asked
            known = count - 1
            start = time.perf_counter()
            async with mesh_of(config, dsn) as (mesh, session):
                started_s = time.perf_counter() - start
                told[str(count)] = {"mesh_start_s": round(started_s, 2)} | await _hits(session, mesh, rounds)
    await redis.aclose()
    return told


async def _hits(session: aiohttp.ClientSession, mesh: InProcessMesh, rounds: int) -> dict[str, Any]:
    for text in ALIKE[:3]:
        await ask(session, mesh, text)
    start_s = time.process_time()
    exact = [await ask(session, mesh, STORED) for _ in range(rounds)]
    between_s = time.process_time()
    # Each text once: its vector is computed, and not remembered.
    alike = [await ask(session, mesh, text) for text in ALIKE[3:]]
    end_s = time.process_time()
    return {
        # All services, the provider and this caller; steadier than the clock on a machine with other work.
        "cpu_ms": {
            "exact hit": round((between_s - start_s) * 1e3 / len(exact), 2),
            "semantic hit": round((end_s - between_s) * 1e3 / len(alike), 2),
        },
        "exact hit": percentiles(
            [took for status, semantic, took in exact if status == "HIT" and not semantic]
        ),
        "semantic hit": percentiles([took for _, semantic, took in alike if semantic]),
        "semantic misses among them": sum(status != "HIT" for status, _, _ in alike),
    }


def over_the_network(counts: list[int], rounds: int) -> dict[str, Any]:
    """Through the whole mesh, and of two replicas of the cache alone; Redis and PostgreSQL from wheels."""
    with tempfile.TemporaryDirectory(prefix="mg") as name, RedisServer("valkey", Path(name)) as redis:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir(mode=0o755)
        postgres = DatabaseServer(EmbeddedPostgres(folder / "pg", durable=False))
        try:
            mesh = asyncio.run(latency(counts, rounds, postgres.new_database(), redis.url))
        finally:
            postgres.stop()
        redis.command("FLUSHALL")
        return {"mesh": mesh, "replicas": asyncio.run(replicas(folder, redis.url, counts, rounds))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("quality", "latency", "parts"))
    parser.add_argument("--quick", action="store_true", help="fewer of everything, written nowhere")
    options = parser.parse_args()
    files = packaged_files()
    assert files is not None, "the packaged model is not installed"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    give_back_freed_memory()
    before_mb = resident_mb()
    model = load_onnx_model(files)
    told: dict[str, Any] = {}
    if options.only is not None and not options.quick and TARGET.exists():
        told = json.loads(TARGET.read_text())
    if options.only in (None, "parts"):
        told["by length"] = length_cost(model)
        told["exact key"] = key_cost()
        told["model_mb"] = round(resident_mb() - before_mb, 1)
        told["search"] = search_cost(model, COUNTS[:2] if options.quick else COUNTS)
    if options.only in (None, "latency"):
        told |= over_the_network([1_000] if options.quick else [1_000, 100_000], 50 if options.quick else 300)
    if options.only in (None, "quality"):
        told["quality"] = quality(model, 500 if options.quick else SAMPLE)
    print(json.dumps(told, indent=1))
    if options.quick:
        return
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
