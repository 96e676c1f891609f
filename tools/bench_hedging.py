"""`make bench-hedging`: what hedging does to slow first tokens, what it costs; how streams that break end.

Hedging: the router over real sockets, in front of a provider where 5 of every 100 calls, in random order,
take ten times as long to the first token. Measured without and with hedging: the time until the first token
leaves the router, calls at the provider per request, and how soon the provider sees that a loser is cut.
Recovery: streams of the demo provider, each cut at a random chunk, finished by another deployment.
Writes docs/benchmarks/hedging.json; exit status 1 when a target is missed.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import math
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import structlog

from meshgate_chassis.config.model import HedgingConfig, RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_router.stream import Started
from tests.support.demo_provider import demo_provider
from tests.unit.router.support import RouterUnderTest, chat, deployment, router

TARGET: Final = Path(__file__).parents[1] / "docs/benchmarks/hedging.json"
CALLS: Final = 3_000
WARM_CALLS: Final = 300  # counted as calls, but their times are not
CONCURRENCY: Final = 24
USUAL_S: Final = 0.08
SPREAD: Final = 0.15  # of the logarithm
SLOW_FACTOR: Final = 10.0
SLOW_OF_100: Final = 5
STREAMS: Final = 400
P99_REDUCTION_MIN: Final = 0.60
EXTRA_CALLS_MAX: Final = 0.05
CANCEL_S_MAX: Final = 0.05
RECOVERED_SHARE_MIN: Final = 0.95
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
WORDS: Final = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
)


def chunk(data: str) -> bytes:
    """One event as one HTTP chunk."""
    event = f"data: {data}\n\n".encode()
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


ANSWER: Final = (
    chunk('{"id":"x","choices":[{"index":0,"delta":{"content":"hi"}}]}')
    + chunk('{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    + chunk("[DONE]")
    + b"0\r\n\r\n"
)


@dataclass
class BimodalProvider:
    """A provider with two speeds. `answered_s`, `cut_s`: by request id, on the loop's clock."""

    random: Random
    calls: int = 0
    answered_s: dict[str, float] = field(default_factory=dict)
    cut_s: dict[str, float] = field(default_factory=dict)
    _speeds: list[bool] = field(default_factory=list)

    def first_token_s(self) -> float:
        """Of the next call."""
        if not self._speeds:
            self._speeds = [number < SLOW_OF_100 for number in range(100)]
            self.random.shuffle(self._speeds)
        return (
            USUAL_S * self.random.lognormvariate(0.0, SPREAD) * (SLOW_FACTOR if self._speeds.pop() else 1.0)
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one call."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            await reader.readexactly(int(headers["content-length"]))
            request_id = headers["x-client-request-id"]
            self.calls += 1
            try:
                async with asyncio.timeout(self.first_token_s()):
                    await reader.read(1)  # returns when the router closes the connection
                self.cut_s[request_id] = loop.time()
            except TimeoutError:
                self.answered_s.setdefault(request_id, loop.time())
                writer.write(HEAD + ANSWER)
        writer.close()


@contextlib.asynccontextmanager
async def bimodal(seed: int) -> AsyncIterator[tuple[BimodalProvider, str]]:
    """The provider and its address."""
    provider = BimodalProvider(Random(seed))  # noqa: S311 - a benchmark that repeats itself
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    try:
        yield provider, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


async def first_token_s(subject: RouterUnderTest, number: int) -> float:
    """Of one request, read to its end."""
    loop, start_s, found_s = asyncio.get_running_loop(), 0.0, math.nan
    start_s = loop.time()
    async with contextlib.aclosing(subject.events(chat(), request_id=f"call-{number}")) as events:
        async for event in events:
            if isinstance(event, Started):
                found_s = loop.time() - start_s
    return found_s


async def hedging(*, enabled: bool, calls: int) -> dict[str, Any]:
    """One run."""
    config = RouterConfig(num_retries=0, hedging=HedgingConfig(enabled=enabled))
    async with bimodal(7) as (provider, base):
        targets = [deployment("gpt", id=name, upstream_model=name, api_base=base) for name in "ab"]
        numbers = iter(range(calls + WARM_CALLS))
        times: dict[int, float] = {}
        async with router(targets, config=config) as subject:

            async def caller() -> None:
                for number in numbers:
                    times[number] = await first_token_s(subject, number)

            async with asyncio.TaskGroup() as callers:
                for _ in range(CONCURRENCY):
                    callers.create_task(caller())
    found = sorted(took_s for number, took_s in times.items() if number >= WARM_CALLS)
    cuts = sorted(max(0.0, cut_s - provider.answered_s[request]) for request, cut_s in provider.cut_s.items())
    return {
        "requests": len(times),
        "provider_calls": provider.calls,
        "extra_calls_share": round(provider.calls / len(times) - 1.0, 4),
        **{f"first_token_p{name}_ms": milliseconds(percentile(found, share)) for name, share in SHARES},
        "losers_cut": len(cuts),
        "loser_cut_after_ms_max": milliseconds(cuts[-1]) if cuts else None,
    }


SHARES: Final = (("50", 0.50), ("95", 0.95), ("99", 0.99), ("99_9", 0.999))


async def recovery(streams: int) -> dict[str, Any]:
    """Streams that are cut at a random chunk: how many end as if nothing had happened."""
    random = Random(11)  # noqa: S311 - as above
    config = RouterConfig(num_retries=0, fallbacks={"first": ["second"]}, allowed_fails=10**9)
    finished = exact = 0
    async with demo_provider() as provider:
        base = f"{provider.url}/v1"
        targets = [
            deployment("first", "openai", api_base=base),
            deployment("second", "anthropic", api_base=base),
        ]
        async with router(targets, config=config) as subject:
            for _ in range(streams):
                words = " ".join(f"{random.choice(WORDS)}{random.randrange(100)}" for _ in range(15))
                want = (await subject.stream(asking(words))).answer["choices"][0]["message"]["content"]
                fault = f"demo:fail=cut_mid_stream:{random.randrange(2, 50)}@first-upstream"
                try:
                    found = await subject.stream(asking(f"{words} {fault}"))
                except MeshError:
                    continue
                finished += found.finished is not None
                exact += found.answer["choices"][0]["message"]["content"] == want
    return {
        "streams_cut": streams,
        "finished": finished,
        "exact": exact,
        "exact_share": round(exact / streams, 4),
    }


def asking(text: str) -> Any:
    """The demo provider tells the text back."""
    return chat("first", messages=[{"role": "user", "content": text}], max_tokens=4_000)


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))]


def milliseconds(duration_s: float) -> float:
    """Rounded for a reader."""
    return round(duration_s * 1_000, 1)


def verdicts(plain: dict[str, Any], hedged: dict[str, Any], mended: dict[str, Any]) -> dict[str, Any]:
    """What was promised, what was found, and whether it holds."""
    reduction = 1.0 - hedged["first_token_p99_ms"] / plain["first_token_p99_ms"]
    cut_ms = hedged["loser_cut_after_ms_max"]
    rows = {
        "p99 to the first token falls by": (round(reduction, 3), ">=", P99_REDUCTION_MIN),
        "extra calls": (hedged["extra_calls_share"], "<=", EXTRA_CALLS_MAX),
        "loser cut after, ms": (math.inf if cut_ms is None else cut_ms, "<=", CANCEL_S_MAX * 1_000),
        "cut streams that end exactly": (mended["exact_share"], ">=", RECOVERED_SHARE_MIN),
    }
    return {
        name: {
            "found": found,
            "target": f"{relation} {bound}",
            "ok": found >= bound if relation == ">=" else found <= bound,
        }
        for name, (found, relation, bound) in rows.items()
    }


async def measure(calls: int, streams: int) -> dict[str, Any]:
    """Everything."""
    plain = await hedging(enabled=False, calls=calls)
    hedged = await hedging(enabled=True, calls=calls)
    mended = await recovery(streams)
    return {
        "provider": {
            "usual_first_token_ms": USUAL_S * 1_000,
            "slow_factor": SLOW_FACTOR,
            "slow_calls_of_100": SLOW_OF_100,
            "concurrency": CONCURRENCY,
        },
        "without_hedging": plain,
        "with_hedging": hedged,
        "recovery": mended,
        "targets": verdicts(plain, hedged, mended),
    }


def show(result: dict[str, Any]) -> None:
    """A table."""
    plain, hedged = result["without_hedging"], result["with_hedging"]
    print(f"{'':34}{'without':>12}{'with hedging':>14}")
    for name in plain:
        print(f"{name:34}{plain[name]!s:>12}{hedged[name]!s:>14}")
    mended = result["recovery"]
    print(f"\nrecovery: {mended['exact']} of {mended['streams_cut']} cut streams ended exactly as if whole\n")
    for name, row in result["targets"].items():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {name:34}{row['found']!s:>10}  (target {row['target']})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the calls; nothing is written")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    share = 3 if options.quick else 1
    result = asyncio.run(measure(CALLS // share, STREAMS // share))
    show(result)
    if not options.quick:
        TARGET.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if all(row["ok"] for row in result["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
