"""`make bench-soak`: mixed requests for long, every process's memory beside them, and the books afterwards.

Says yes or no to: memory is flat in every process; every request is on the books once, at its price; no error
that nobody asked for.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import uvloop

from bench.beside import ours, workplace
from bench.books import Books, problems, read_books, wrong_amounts
from bench.machine import other_load
from bench.memory import MEGABYTE, MemoryWatch, Trend, trend_record
from bench.mesh import Running, Variant, redis_program, started
from bench.mixed import KINDS, Mixed, MixedLoad
from bench.peers import our_version
from bench.record import write_alone
from bench.statistics import percentile
from bench.verdict import Verdict, show_verdicts

REQUESTS, QUICK_REQUESTS = 100_000, 12_000
CLIENTS = 16
LOOKS = 50  # at memory, in a whole run: every 2,000 of 100,000 requests
SETTLING, QUICK_SETTLING = 0.2, 0.5  # of the run: caches, pools and heaps fill up; not judged
CACHE_TTL_S = 20  # so that Redis, too, is full long before memory is judged
EXPECTED_PER_S = (200, 350)
STORES = ("postgresql", "redis")  # their buffers and their data are not our memory; told, not judged

# Errors are asked for: they must not be repeated, and must not close the deployment.
SETTINGS = "router_settings: {num_retries: 0, allowed_fails: 1000000}\n"


def soak(*, requests: int, quick: bool) -> int:
    """Returns 1 when a verdict is no, else 0."""
    count = requests or (QUICK_REQUESTS if quick else REQUESTS)
    slow, fast = (count / per_s / 60 for per_s in EXPECTED_PER_S)
    print(f"{count:,} mixed requests, {fast:.1f} to {slow:.1f} minutes on two quiet cores", flush=True)
    load_before = other_load()
    with workplace() as place, started(place, variant("meshgate")) as running:
        watch = MemoryWatch(running.roots())
        seen, books = uvloop.run(measured(running, variant("meshgate"), watch, count))
    since = int(count * (QUICK_SETTLING if quick else SETTLING))
    verdicts = [*judged_traffic(seen, books), *judged_memory(watch, since)]
    record = {
        "requests": count,
        "clients": CLIENTS,
        "memory_judged_from": since,
        "seconds": round(seen.seconds, 1),
        "per_s": round(seen.sent.total() / seen.seconds, 1),
        "cores_busy_before": round(load_before, 2),
        "versions": our_version(),
        "kinds": _kinds(seen),
        "books": {"lines": [asdict(line) for line in books.lines], "verified": books.verified.splitlines()},
        "memory": {name: _trends(pair) for name, pair in watch.trends(since).items()},
        "memory_mb_proportional_resident": watch.record(),
    }
    show_memory(watch, since)
    print(f"{seen.sent.total():,} requests in {seen.seconds:.0f} s, {record['per_s']}/s; {dict(seen.sent)}")
    print(f"  cache hits {dict(seen.cache_hits)}, callers who hung up {seen.left}")
    return show_verdicts(verdicts, write_alone("quick-soak" if quick else "soak", record, verdicts))


def variant(name: str) -> Variant:
    """This tree, with a model for each kind."""
    plain = ours(name, redis=redis_program() is not None)
    models = {kind.model: kind.answer for kind in KINDS}
    return replace(plain, models=models, settings=SETTINGS, cache_ttl_s=CACHE_TTL_S)


async def measured(
    running: Running, measured_variant: Variant, watch: MemoryWatch, count: int
) -> tuple[Mixed, Books]:
    """The traffic, memory beside it, then the books."""
    every = max(1, count // LOOKS)
    began_s = time.monotonic()
    await asyncio.to_thread(watch.look, 0)
    async with asyncio.TaskGroup() as looks:

        def told(done: int) -> None:
            if done % every == 0:
                looks.create_task(asyncio.to_thread(watch.look, done))
            if done % max(1, count // 10) == 0:
                rate = done / (time.monotonic() - began_s)
                print(
                    f"  {done:,} of {count:,}, {rate:.0f}/s, {(count - done) / rate:.0f} s to go", flush=True
                )

        seen = await MixedLoad(running, told).run(count, CLIENTS)
    return seen, await read_books(running, measured_variant.python, seen.by_model())


def judged_traffic(seen: Mixed, books: Books) -> list[Verdict]:
    """No error but those that were asked for; the books are whole and right."""
    sent = seen.by_model()
    nanos = {kind.model: kind.nanos for kind in KINDS if kind.nanos is not None}
    failed = [f"{count} x {failure}" for failure, count in seen.failures.most_common(5)]
    known = sum(line.entries for line in books.lines if line.outcome == "cache_hit")
    told_hits = seen.cache_hits.total()
    hits = [] if known == told_hits else [f"{told_hits} answers said HIT, the books have {known}"]
    wrong = [*wrong_amounts(books.lines, nanos), *hits]
    return [
        Verdict("no error unasked for", not failed, "; ".join(failed) or f"{sum(sent.values()):,} answers"),
        Verdict(
            "every request is on the books once, nothing is open, they balance",
            not problems(books, sent),
            "; ".join(problems(books, sent)) or f"{sum(line.entries for line in books.lines):,} entries",
        ),
        Verdict("every charge is its price", not wrong, "; ".join(wrong[:5]) or "to the nano"),
    ]


def judged_memory(watch: MemoryWatch, since: int) -> list[Verdict]:
    """Flat in each process, proportional and resident, from request `since` on."""
    found = []
    for name, (proportional, resident) in watch.trends(since).items():
        if name in STORES:
            continue
        told = f"proportional {_told(proportional)}; resident {_told(resident)}"
        found.append(Verdict(f"memory of {name} is flat", proportional.flat and resident.flat, told))
    return found


def show_memory(watch: MemoryWatch, since: int) -> None:
    """A line for each process."""
    print(
        "\nmemory, proportional / resident, MB"
        + " " * 9
        + "start   judged from     end   per 10,000 requests"
    )
    first = watch.samples[0][1]
    for name, (proportional, resident) in watch.trends(since).items():
        cells = (
            f"{first[name][0] / MEGABYTE:6.1f} / {first[name][1] / MEGABYTE:6.1f}",
            f"{proportional.first / MEGABYTE:6.1f} / {resident.first / MEGABYTE:6.1f}",
            f"{proportional.last / MEGABYTE:6.1f} / {resident.last / MEGABYTE:6.1f}",
            f"{proportional.slope_per_10k / MEGABYTE:+6.2f} / {resident.slope_per_10k / MEGABYTE:+6.2f}",
        )
        print(f"  {name:<16}" + "   ".join(cells))


def _told(trend: Trend) -> str:
    mb = f"{trend.first / MEGABYTE:.1f} -> {trend.last / MEGABYTE:.1f} MB"
    return f"{mb}, drift {trend.drift:+.1%}, farthest {trend.spread:.1%}"


def _trends(pair: tuple[Trend, Trend]) -> dict[str, Any]:
    return {"proportional": trend_record(pair[0]), "resident": trend_record(pair[1])}


def _kinds(seen: Mixed) -> Mapping[str, Any]:
    return {
        kind.name: {
            "sent": seen.sent[kind.name],
            "cache_hits": seen.cache_hits[kind.name],
            **{
                f"p{share}_ms": round(percentile(seen.latencies_ns.get(kind.name, []), share / 100) / 1e6, 2)
                for share in (50, 99)
                if seen.latencies_ns.get(kind.name)
            },
        }
        for kind in KINDS
    }
