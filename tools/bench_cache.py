"""`make bench-cache`: quality of the semantic cache with intervals, and how fast hits are.

Quality: tools/bench_cache_quality.py. Latency: the whole mesh in one process over real sockets, real
PostgreSQL and Redis, one caller, with 1,000 and 100,000 questions known in the one context that is asked.
Writes docs/benchmarks/semantic-cache.json.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
from redis.asyncio import Redis

from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.events import Learned, decode, encode
from meshgate_cache.semantic.journal import FIELD
from meshgate_cache.semantic.model import EmbeddingModel, load_onnx_model, packaged_files
from meshgate_cache.semantic.nearest import quantised
from meshgate_cache.semantic.vectors import Placed, Space
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import InProcessMesh, mesh_in_process
from tests.support.postgres import DatabaseServer
from tests.support.redis_server import RedisServer
from tools.bench_cache_quality import quality

TARGET: Final = Path(__file__).parents[1] / "docs/benchmarks/semantic-cache.json"
STREAM: Final = b"meshgate:cache:semantic:1"
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
EXACT: Final = [STORED] * 2
ALIKE: Final = [
    f"{greeting}{question}"
    for greeting in ("", "hi, ", "hello, ", "Hey, ", "please: ", "thanks! ", "Hi! ", "Hello! ")
    for question in (
        "What is the capital city of France?", "what's the capital of France", "What is France's capital?",
        "Which city is the capital of France?", "Tell me what the capital of France is.",
        "what is the capital of france", "Could you tell me the capital of France?",
    )
]  # fmt: skip
YEAR_NS: Final = 365 * 86_400 * 10**9
BATCH: Final = 5_000
SEED: Final = 3


def percentiles(durations_s: list[float]) -> dict[str, float]:
    """In milliseconds."""
    cuts = statistics.quantiles(durations_s, n=100, method="inclusive")
    return {"count": len(durations_s), "p50_ms": round(cuts[49] * 1e3, 2), "p99_ms": round(cuts[98] * 1e3, 2)}


async def ask(session: aiohttp.ClientSession, mesh: InProcessMesh, text: str) -> tuple[str, bool, float]:
    """x-cache-status, whether the hit was semantic, and how long it took."""
    body = {"model": "demo", "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {mesh.master_key}"}
    start = time.perf_counter()
    async with session.post(f"{mesh.url}/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.read()
        semantic = "x-litellm-semantic-similarity" in answer.headers
        return answer.headers.get("x-cache-status", ""), semantic, time.perf_counter() - start


async def fill(redis: Redis, count: int) -> None:
    """The stream as if `count` other questions of the same context had been learned."""
    first = next(
        event
        for _, fields in await redis.xrange(STREAM)
        if isinstance(event := decode(fields[FIELD]), Learned)
    )
    chance = np.random.default_rng(SEED)
    size = len(first.row)
    for start in range(0, count, BATCH):
        pipeline = redis.pipeline(transaction=False)
        for number in range(start, min(start + BATCH, count)):
            vector = chance.standard_normal(size).astype(np.float32)
            event = Learned(
                key=first.key[:16] + f"{number:048x}",
                namespace=first.namespace,
                context=first.context,
                text=f"Question {number}?",
                model=first.model,
                row=quantised(vector).tobytes(),
                expires_ns=time.time_ns() + YEAR_NS,
            )
            pipeline.xadd(STREAM, {FIELD: encode(event)})
        await pipeline.execute()


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
            await ask(session, mesh, STORED)
            await eventually(lambda: redis.exists(STREAM), "the first answer is stored")
        known = 0
        for count in counts:
            await fill(redis, count - known)
            known = count
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


def search_cost(model: EmbeddingModel, counts: list[int]) -> dict[str, Any]:
    """Of the search alone, in one context, by number of questions; and memory."""
    chance = np.random.default_rng(SEED)
    told: dict[str, Any] = {}
    for count in counts:
        directory = Directory(Space(model.name, model.dimensions), count)
        for number in range(count):
            row = quantised(chance.standard_normal(model.dimensions).astype(np.float32)).tobytes()
            directory.apply(Learned(f"{number:064x}", "n", b"c", "text", model.name, row, YEAR_NS * 1_000))
        asked = Placed(model.name, model.embed([STORED])[0].whole)
        durations = []
        for _ in range(50):
            start = time.perf_counter()
            directory.search(b"c", asked, 0.8, 0)
            durations.append(time.perf_counter() - start)
        told[str(count)] = percentiles(durations) | {"vectors_mb": round(directory.size_bytes / 1e6, 1)}
    return told


def embedding_cost(model: EmbeddingModel) -> dict[str, Any]:
    """One text of so many words."""
    told: dict[str, Any] = {}
    for words in (5, 20, 100):
        durations = []
        for number in range(30):
            text = " ".join(f"word{number}" for _ in range(words))
            start = time.perf_counter()
            model.embed([text])
            durations.append(time.perf_counter() - start)
        told[f"{words} words"] = percentiles(durations)
    return told


def resident_mb() -> float:
    """Of this process, at its highest."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return round(int(line.split()[1]) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("quality", "latency"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    files = packaged_files()
    assert files is not None, "the packaged model is not installed"
    before_mb = resident_mb()
    model = load_onnx_model(files)
    told: dict[str, Any] = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    if options.only in (None, "latency"):
        told["embedding"] = embedding_cost(model) | {"resident_mb": round(resident_mb() - before_mb, 1)}
        told["search"] = search_cost(model, options.counts)
        with tempfile.TemporaryDirectory(prefix="mg") as folder:
            Path(folder).chmod(0o755)
            (Path(folder) / "pg").mkdir(mode=0o755)
            postgres = DatabaseServer(EmbeddedPostgres(Path(folder) / "pg", durable=False))
            with RedisServer("valkey", Path(folder)) as redis:
                database = postgres.new_database()
                told["mesh"] = asyncio.run(latency(options.counts, options.rounds, database, redis.url))
            postgres.stop()
    if options.only in (None, "quality"):
        told["quality"] = quality(model)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
