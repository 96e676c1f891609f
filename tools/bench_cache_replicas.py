"""Two cache processes on one Redis: how soon one hears of the other, what a lookup costs, and their memory.

Everything is asked over gRPC, one call at a time; from when the store has been answered on replica A until
replica B answers with it, the lookup that hits included.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from meshgate_cache.semantic.events import Learned, decode, encode
from meshgate_cache.semantic.journal import FIELD
from meshgate_cache.semantic.nearest import quantised
from meshgate_cache.semantic.reading import CHARACTERS_MAX
from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import GatewayConfig
from meshgate_chassis.rpc import Identity, check_health
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.process.test_services_alone import environment_of, running
from tests.support.eventually import eventually
from tests.support.running_mesh import free_port
from tools.bench_cache_parts import TEXT, percentiles

STREAM: Final = b"meshgate:cache:semantic:1"
CONFIG: Final = """
model_list:
  - model_name: demo
    litellm_params: {{model: openai/demo, api_base: "http://127.0.0.1:9/v1", api_key: none-needed}}
litellm_settings:
  cache: true
  cache_params: {{type: redis-semantic, url: "{redis}", ttl: 3600}}
"""
STORED: Final = "What is the capital of France?"
ALIKE: Final = "What is the capital city of France?"
YEAR_NS: Final = 365 * 86_400 * 10**9
BATCH: Final = 5_000
SEED: Final = 3
CALL_S: Final = 10.0
WAIT_S: Final = 5.0
KB: Final = (1, 10, 100)
LONG_COUNT: Final = 20
ENTRIES_MAX: Final = 2_000_000  # so that nothing goes


async def fill(redis: Redis, count: int, start: int = 0) -> None:
    """The stream as if others than STORED had been learned in its last context: `start` to `count`."""
    first = next(
        event
        for _, fields in await redis.xrevrange(STREAM)
        if isinstance(event := decode(fields[FIELD]), Learned) and event.text == STORED
    )
    chance = np.random.default_rng([SEED, start])
    size = len(first.row)
    for begin in range(start, count, BATCH):
        pipeline = redis.pipeline(transaction=False)
        for number in range(begin, min(begin + BATCH, count)):
            vector = chance.standard_normal(size).astype(np.float32)
            event = Learned(
                key=first.key[:16] + f"{number:048x}",
                namespace=first.namespace,
                context=first.context,
                text=f"What is known about matter {number:07}?",
                model=first.model,
                row=quantised(vector).tobytes(),
                expires_ns=time.time_ns() + YEAR_NS,
            )
            pipeline.xadd(STREAM, {FIELD: encode(event)})
        await pipeline.execute()


class Replica:
    """One cache process."""

    def __init__(self, client: CacheServiceClient, pid: int) -> None:
        self._client = client
        self._pid = pid

    async def look_up(self, chat: chat_pb.ChatRequest) -> pb.LookupEntryResponse:
        request = pb.LookupEntryRequest(tenant_id="t", chat=chat)
        return await self._client.lookup_entry(request, timeout_s=CALL_S)

    async def keep(self, chat: chat_pb.ChatRequest) -> None:
        """As the edge does after a miss."""
        missed = await self.look_up(chat)
        message = chat_pb.Message(role="assistant", text="Paris.")
        response = chat_pb.ChatResponse(
            id="1", model="m", choices=[chat_pb.Choice(message=message, finish_reason="stop")]
        )
        entry = pb.Entry(response=response, deployment_id="d")
        request = pb.StoreEntryRequest(
            tenant_id="t", cache_key=missed.cache_key, entry=entry, question=missed.question
        )
        await self._client.store_entry(request, timeout_s=CALL_S)

    def memory_mb(self) -> dict[str, float]:
        """Of the process: all that is resident, and without what other processes share."""
        lines = Path(f"/proc/{self._pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
        return {name: round(sizes[key] / 1024, 1) for name, key in (("resident", "Rss"), ("own", "Pss"))}


@contextlib.asynccontextmanager
async def replica(folder: Path, redis_url: str) -> AsyncIterator[Replica]:
    """Serves when it is warm."""
    await asyncio.to_thread(_write_config, folder, redis_url)
    # A machine with other work may be slow; the limits are tested elsewhere.
    environment = environment_of(folder, "", free_port()) | {
        "MESHGATE_CACHE_LOOKUP_TIMEOUT_S": "5",
        "MESHGATE_CACHE_STORE_TIMEOUT_S": "5",
        "MESHGATE_CACHE_SEMANTIC_ENTRIES_MAX": str(ENTRIES_MAX),
    }
    target = f"unix:{folder}/cache.sock"
    registry = CollectorRegistry()
    edge = Runtime(
        service="edge",
        config=GatewayConfig(),
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity("edge", environment["MESHGATE_MESH_SECRET"].encode()),
    )
    with running("cache", environment, folder) as process:
        await eventually(
            lambda: check_health(target, tls=None, server_name="cache", timeout_s=1.0),
            "the replica serves",
            90,
        )
        channel = edge.channel("cache", target)
        try:
            yield Replica(CacheServiceClient(channel), process.pid)
        finally:
            await channel.close()


def _write_config(folder: Path, redis_url: str) -> None:
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG.format(redis=redis_url))


async def replicas(folder: Path, redis_url: str, counts: list[int], rounds: int) -> dict[str, Any]:
    """All of it."""
    redis = Redis.from_url(redis_url)
    told: dict[str, Any] = {}
    async with replica(folder / "a", redis_url) as first, replica(folder / "b", redis_url) as second:
        for text in (STORED, ALIKE):
            await second.look_up(_chat(text))  # its vector is known from here on
        told["heard of after a store on another"] = {
            "exact": percentiles([await _heard(first, second, n, STORED) for n in range(rounds)]),
            "semantic": percentiles([await _heard(first, second, -1 - n, ALIKE) for n in range(rounds)]),
        }
        told["exact hit by size of the request"] = {
            f"{size} kB": await _size(first, size, rounds) for size in KB
        }
        await _heard(first, second, None, ALIKE)
    filled = 0
    for count in counts:
        await fill(redis, count, filled)
        filled = count
        start = time.perf_counter()
        async with replica(folder / f"c{count}", redis_url) as one:
            warm_s = round(time.perf_counter() - start, 2)
            told[f"{count:,} questions"] = {"process_start_s": warm_s} | await _hits(one, rounds)
    await redis.aclose()
    return told


def _chat(text: str, number: int | None = None) -> chat_pb.ChatRequest:
    message = chat_pb.Message(role="user", text=text)
    history = [] if number is None else [chat_pb.Message(role="system", text=f"Case {number}.")]
    return chat_pb.ChatRequest(model="demo", messages=[*history, message])


async def _heard(first: Replica, second: Replica, number: int | None, text: str) -> float:
    await first.keep(_chat(STORED, number))
    start = time.perf_counter()
    while not (await second.look_up(_chat(text, number))).HasField("entry"):
        assert time.perf_counter() - start < WAIT_S, "the other replica does not hear of it"
    return time.perf_counter() - start


async def _size(one: Replica, size: int, rounds: int) -> dict[str, float]:
    chat = _chat("x" * size * 1_000)
    await one.keep(chat)
    return await _timed(one, lambda _: chat, rounds)


async def _hits(one: Replica, rounds: int) -> dict[str, Any]:
    """New words: the vector is computed; else it was known, and the search is what is left."""
    await one.look_up(_chat(ALIKE))
    return {
        "exact": await _timed(one, lambda _: _chat(STORED), rounds),
        "semantic": await _timed(one, lambda _: _chat(ALIKE), rounds),
        "semantic, new words": await _timed(one, lambda n: _chat(ALIKE + " " * (n + 1)), rounds),
        "memory_mb": one.memory_mb(),
        "memory_mb after long questions": await _after_long(one),
    }


async def _after_long(one: Replica) -> dict[str, float]:
    """Of as many characters as are compared by meaning: what their vectors need stays with the process."""
    for number in range(LONG_COUNT):
        words = (f"{number} {TEXT} " * CHARACTERS_MAX)[:CHARACTERS_MAX]
        await one.look_up(_chat(words))
    return one.memory_mb()


async def _timed(one: Replica, chat: Callable[[int], chat_pb.ChatRequest], rounds: int) -> dict[str, float]:
    """Of the hits. What the time limit of a lookup cut off is a miss."""
    durations, misses = [], 0
    for number in range(rounds):
        request = chat(number)
        start = time.perf_counter()
        if (await one.look_up(request)).HasField("entry"):
            durations.append(time.perf_counter() - start)
        else:
            misses += 1
    return percentiles(durations) | {"misses": misses}
