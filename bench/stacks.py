"""Reads collapsed stacks ("a;b;c 12") and says where time goes: by layer, and by function. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

# The innermost frame that is one of these gives a sample its layer; first match wins.
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("grpcio (C core, Cython, grpc.aio)", ("cygrpc", "grpc/")),
    ("our code", ("meshgate_",)),
    ("protobuf", ("google/", "_upb", "_message")),
    ("OpenTelemetry", ("opentelemetry/",)),
    ("HTTP server (uvicorn, httptools, starlette)", ("uvicorn/", "httptools", "starlette/", "fastapi/")),
    ("HTTP client (aiohttp)", ("aiohttp/", "yarl/", "multidict")),
    ("PostgreSQL client (asyncpg)", ("asyncpg/",)),
    ("Redis client", ("redis/", "valkey/")),
    ("metrics and logs", ("prometheus_client/", "structlog/", "logging/")),
    ("asyncio and uvloop", ("uvloop/", "asyncio/", "libuv", "loop.cpython")),
)
REST = "kernel, libc and the interpreter below no known frame"


_LINE_NUMBER = re.compile(r":\d+\)$")
_WAITING = ("epoll_wait", "epoll_pwait", "syscall (", "poll (", "clock_nanosleep", "futex", "pthread_cond")


def parse(lines: Iterable[str]) -> list[tuple[list[str], int]]:
    """[(frames from outermost to innermost, samples)], less waiting threads and line numbers."""
    found = []
    for line in lines:
        stack, _, count = line.rstrip("\n").rpartition(" ")
        frames = [_LINE_NUMBER.sub(")", frame) for frame in stack.split(";")]
        if stack and count.isdigit() and not frames[-1].startswith(_WAITING):
            found.append((frames, int(count)))
    return found


def by_layer(stacks: Sequence[tuple[list[str], int]]) -> Counter[str]:
    """Samples by layer: C functions and the standard library count for whoever called them."""
    counted: Counter[str] = Counter()
    for frames, samples in stacks:
        counted[next((layer for frame in reversed(frames) if (layer := _layer(frame))), REST)] += samples
    return counted


def own_time(stacks: Sequence[tuple[list[str], int]]) -> Counter[str]:
    """Samples by innermost function."""
    counted: Counter[str] = Counter()
    for frames, samples in stacks:
        counted[frames[-1]] += samples
    return counted


def whole_time(stacks: Sequence[tuple[list[str], int]], wanted: str) -> Counter[str]:
    """Samples by function whose frame holds `wanted`, with all that it called; recursion counts once."""
    counted: Counter[str] = Counter()
    for frames, samples in stacks:
        for frame in {frame for frame in frames if wanted in frame}:
            counted[frame] += samples
    return counted


def _layer(frame: str) -> str | None:
    return next((layer for layer, marks in LAYERS if any(mark in frame for mark in marks)), None)
