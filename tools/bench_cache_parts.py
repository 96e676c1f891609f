"""What the parts of a lookup cost, each alone: vector, search, rules, key; by length and number of entries.

CPU of one thread, without network; the memory is that of this process.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.keys import cache_key
from meshgate_cache.semantic.alignment import aligned
from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.events import Learned
from meshgate_cache.semantic.model import EmbeddingModel
from meshgate_cache.semantic.question import question_of
from meshgate_cache.semantic.reading import read
from meshgate_cache.semantic.vectors import Placed, Space
from meshgate_cache.semantic.verifier import compare
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

SEED: Final = 3
FAR_NS: Final = 10**19
CONTEXTS: Final = 10_000
KEPT: Final = 100_000  # MESHGATE_CACHE_SEMANTIC_ENTRIES_MAX
BLOCK: Final = 10_000
TEXT: Final = (
    "how do i change the delivery address of an order that i placed yesterday evening from my phone while"
    " travelling because the parcel should now go to our office in the north of the city where somebody is"
    " at home during the day and can sign for it without waiting for me to come back at the weekend"
)
WORDS: Final = TEXT.split()


def percentiles(durations_s: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    cuts = statistics.quantiles(durations_s, n=100, method="inclusive")
    return {"count": len(durations_s), "p50_ms": round(cuts[49] * 1e3, 3), "p99_ms": round(cuts[98] * 1e3, 3)}


def timed(work: Callable[[], object], rounds: int = 30) -> dict[str, float]:
    """Of each call; the first one, which fills caches, is not counted."""
    work()
    durations = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        durations.append(time.thread_time() - start)
    return percentiles(durations)


def resident_mb() -> float:
    """Of this process, now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024, 1)


def search_cost(model: EmbeddingModel, counts: Sequence[int]) -> dict[str, Any]:
    """The search, by number of questions: all in one context, the most also in CONTEXTS contexts, each in its
    own, and as many more than the service keeps by default."""
    most = counts[-1]
    told = {f"{count:,} in one context": _search(model, count, 1) for count in counts}
    told[f"{most:,} in {CONTEXTS:,} contexts"] = _search(model, most, CONTEXTS)
    told[f"{most:,} in a context each"] = _search(model, most, most)
    kept = min(KEPT, most // 2)
    return told | {f"{most:,} came, {kept:,} kept": _search(model, most, 1, kept)}


def _search(model: EmbeddingModel, count: int, contexts: int, kept: int | None = None) -> dict[str, Any]:
    gc.collect()
    before_mb = resident_mb()
    directory = Directory(Space(model.name, model.dimensions), kept or count)
    start = time.thread_time()
    for number, row in enumerate(_rows(count, model.dimensions)):
        context = (number % contexts).to_bytes(32, "big")
        text = f"What is known about matter {number:07}?"
        directory.apply(Learned(f"{number:064x}", "n", context, text, model.name, row, FAR_NS))
    learned_s = time.thread_time() - start
    asked = Placed(model.name, model.embed([" ".join(WORDS[:10])])[0].whole)
    context = (0).to_bytes(32, "big")
    return timed(lambda: directory.search(context, asked, 0.8, 0), 50) | {
        "vectors_mb": round(directory.size_bytes / 1e6, 1),
        "resident_mb": round(resident_mb() - before_mb, 1),
        "bytes_each": round((resident_mb() - before_mb) * 2**20 / len(directory)),
        "learned_per_second": round(count / learned_s),
    }


def _rows(count: int, dimensions: int) -> Iterator[bytes]:
    """Vectors of chance."""
    chance = np.random.default_rng(SEED)
    for start in range(0, count, BLOCK):
        block = chance.standard_normal((min(BLOCK, count - start), dimensions), dtype=np.float32)
        for row in np.rint(block * 30).clip(-127, 127).astype(np.int8):
            yield row.tobytes()


def length_cost(model: EmbeddingModel) -> dict[str, Any]:
    """By words of a question: its vector; its context; the rules and the alignment against another."""
    told: dict[str, Any] = {}
    for count in (5, 10, 20, 50, 100):
        words = [WORDS[at % len(WORDS)] for at in range(count)]
        one, two = " ".join(words), " ".join([*words[:-1], "then"])
        chat = chat_pb.ChatRequest(model="m", messages=[chat_pb.Message(role="user", text=one)])
        told[f"{count} words"] = {
            "vector": timed(lambda one=one: model.embed([one])),  # type: ignore[misc]
            "context": timed(lambda chat=chat: question_of("t", "n", chat)),  # type: ignore[misc]
            "rules": timed(lambda one=one, two=two: compare(read(one), read(two))),  # type: ignore[misc]
            "alignment": _alignment(model, one, two),
        }
    return told


def _alignment(model: EmbeddingModel, one: str, two: str) -> dict[str, float]:
    first, second = model.embed([one, two])
    return timed(lambda: aligned(first.words, second.words))


def key_cost() -> dict[str, Any]:
    """By size of a request: its exact key."""
    told: dict[str, Any] = {}
    for size in (1_000, 10_000, 100_000):
        chat = chat_pb.ChatRequest(model="m", messages=[chat_pb.Message(role="user", text="x" * size)])
        told[f"{size // 1_000} kB"] = timed(
            lambda chat=chat: cache_key("t", "n", canonical_chat(chat))  # type: ignore[misc]
        )
    return told
