"""Redis 8's vector sets beside the search of the cache: `python -m tools.bench_vector_sets`.

The same questions, half of them of the context that is asked, go into one vector set with an attribute for
its context (VADD ... SETATTR), into one set for each context, and into a Directory. Asked are vectors near to
a known one (cosine 0.9) over one connection to a Unix socket. Found: how often the nearest of the context is
the answer. Prints JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import redis
from redis.exceptions import ResponseError

from meshgate_cache.semantic.nearest import NearestVectors
from tests.support.redis_server import RedisServer
from tools.bench_cache_parts import percentiles, resident_mb

DIMENSIONS: Final = 384
CONTEXTS: Final = 2
ASKED: Final = 300
NEIGHBOURS: Final = 5
COSINE: Final = 0.9
FLOOR: Final = 0.8
PIPELINE: Final = 100
FILTERED_MAX: Final = 10_000  # here it is ten times slower already
SEED: Final = 5

Vectors = npt.NDArray[np.float32]


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def questions(count: int) -> tuple[Vectors, Vectors]:
    """Those known, and some that are COSINE near to the first of them."""
    chance = np.random.default_rng(SEED)
    known = unit(chance.standard_normal((count, DIMENSIONS), dtype=np.float32))
    asked = known[: ASKED * CONTEXTS : CONTEXTS]
    noise = unit(chance.standard_normal(asked.shape, dtype=np.float32))
    return known, unit(COSINE * asked + (1 - COSINE**2) ** 0.5 * noise)


def timed(ask: Callable[[Vectors], list[str]], asked: Vectors) -> dict[str, Any]:
    """`found`: the share whose nearest is the one that they were made from."""
    ask(asked[0])
    durations, found = [], 0
    for number, vector in enumerate(asked):
        start = time.perf_counter()
        names = ask(vector)
        durations.append(time.perf_counter() - start)
        found += names[:1] == [str(number * CONTEXTS)]
    return percentiles(durations) | {"found": round(found / len(asked), 3)}


def in_memory(known: Vectors, asked: Vectors) -> dict[str, Any]:
    """The cache's own."""
    before_mb = resident_mb()
    start = time.perf_counter()
    nearest = NearestVectors()
    for number, vector in enumerate(known):
        nearest.add(bytes([number % CONTEXTS]), number, vector)
    added_s = time.perf_counter() - start

    def ask(vector: Vectors) -> list[str]:
        return [str(near.number) for near in nearest.search(bytes([0]), vector, FLOOR, NEIGHBOURS)]

    told = timed(ask, asked)
    return told | {
        "bytes_each": round(nearest.size_bytes / len(known)),
        "resident_mb": round(resident_mb() - before_mb, 1),
        "added_per_second": round(len(known) / added_s),
        "round_trips": 0,
    }


def in_redis(
    client: "redis.Redis[bytes]", known: Vectors, asked: Vectors, *, filtered: bool
) -> dict[str, Any]:
    """One set and a filter, or a set for each context."""
    client.flushall()
    before = client.info("memory")["used_memory"]
    start = time.perf_counter()
    pipeline = client.pipeline(transaction=False)
    for number, vector in enumerate(known):
        context = number % CONTEXTS
        name = "all" if filtered else f"of:{context}"
        attribute = ("SETATTR", json.dumps({"c": context})) if filtered else ()
        pipeline.execute_command("VADD", name, "FP32", vector.tobytes(), str(number), "Q8", *attribute)
        if number % PIPELINE == PIPELINE - 1:
            pipeline.execute()
    pipeline.execute()
    added_s = time.perf_counter() - start
    after = client.info("memory")["used_memory"]
    name, words = ("all", ("FILTER", ".c == 0")) if filtered else ("of:0", ())

    def ask(vector: Vectors) -> list[str]:
        reply = client.execute_command(
            "VSIM", name, "FP32", vector.tobytes(), "WITHSCORES", "COUNT", NEIGHBOURS, *words
        )
        names = reply if isinstance(reply, dict) else reply[::2]
        return [each.decode() for each in names]

    return timed(ask, asked) | {
        "bytes_each": round((after - before) / len(known)),
        "added_per_second": round(len(known) / added_s),
        "round_trips": 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mg") as folder, RedisServer("redis", Path(folder)) as server:
        client: redis.Redis[bytes] = redis.Redis.from_url(server.url, socket_timeout=120)
        told["server"] = client.info("server")["redis_version"]
        try:
            client.execute_command("VCARD", "none")
        except ResponseError as error:
            raise SystemExit(f"no vector sets: {error}") from error
        for count in options.counts:
            known, asked = questions(count)
            row = {
                "cache's own": in_memory(known, asked),
                "vector set of the context": in_redis(client, known, asked, filtered=False),
            }
            if count <= FILTERED_MAX:
                row["one vector set, filtered"] = in_redis(client, known, asked, filtered=True)
            told[f"{count:,} vectors"] = row
        client.close()
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
