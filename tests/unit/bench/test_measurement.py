"""The measuring instruments themselves: what they would hide, they would hide in every number."""

import asyncio
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import processes, stacks
from bench.connection import Connection, Response, ResponseError
from bench.load import Load, closed_loop, open_loop
from bench.machine import REPOSITORY
from bench.prompts import Target, requests
from bench.provider import Answer, Provider, provider
from bench.record import write
from bench.running import free_port, listens, running
from bench.session import Result
from bench.statistics import Spread, percentile, spreads


@pytest.fixture(params=["C", "Python"])
def running_provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provider]:
    if request.param == "C":
        with provider(tmp_path) as compiled:
            yield compiled
        return
    port = free_port()
    command = [sys.executable, "-m", "bench.provider_fallback", str(port)]
    with running(command, tmp_path / "log", lambda: listens(port)):
        yield Provider(port, "Python")


def _load(running_provider: Provider, answer: Answer, *, stream: bool = False) -> Load:
    target = Target(running_provider.port, running_provider.path(answer))
    return Load(running_provider.port, requests(target, stream=stream), answer.chunks if stream else 0)


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: 1 to 100 have p50 = 50, p99 = 99, p100 = 100; of nothing there is none."""
    values = list(range(100, 0, -1))
    assert [50, 99, 100] == [percentile(values, share) for share in (0.5, 0.99, 1.0)]
    assert math.isnan(percentile([], 0.5))


def test_spread_leaves_out_what_was_not_measured() -> None:
    """A figure that one turn could not measure is made of the others."""
    found = spreads([{"a": 3.0}, {"a": 1.0, "b": math.nan}, {"a": 2.0}])
    assert {"a": Spread((3.0, 1.0, 2.0))} == found
    assert (1.0, 2.0, 3.0) == (found["a"].low, found["a"].median, found["a"].high)


async def test_providers_answer_alike(running_provider: Provider) -> None:
    """Whole answers and whole streams, from the compiled provider and from its stand-in."""
    whole = await closed_loop(_load(running_provider, Answer()), 4, seconds=5, count_max=40)
    streams = await closed_loop(_load(running_provider, Answer(chunks=7), stream=True), 2, 5, count_max=6)
    assert (40, 0) == (whole.answered, whole.failures.total())
    assert (6, 42, 0) == (streams.answered, len(streams.chunk_delays_ns), streams.failures.total())


async def test_paced_streams_keep_their_pace(running_provider: Provider) -> None:
    """Three chunks 20 ms apart take at least 40 ms, and the first token at least the delay."""
    answer = Answer(delay_us=10_000, chunks=3, gap_us=20_000)
    sample = await closed_loop(_load(running_provider, answer, stream=True), 1, 5, count_max=1)
    assert sample.latencies_ns[0] >= 50_000_000
    assert 10_000_000 <= sample.first_tokens_ns[0] < sample.latencies_ns[0]


async def test_open_loop_counts_what_a_slow_target_keeps_waiting() -> None:
    """A target that stops once for 300 ms is seen by every request that was due meanwhile."""
    body = b'{"content":"tok "}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    stall_ends_s = 0.0

    class Stalling(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport

        def data_received(self, _: bytes) -> None:
            nonlocal stall_ends_s
            loop = asyncio.get_running_loop()
            stall_ends_s = stall_ends_s or loop.time() + 0.3
            loop.call_at(max(loop.time(), stall_ends_s), self._transport.write, answer)

    server = await asyncio.get_running_loop().create_server(Stalling, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sample = await open_loop(Load(port, requests(Target(port))), 100, 0.5)
    server.close()
    assert 50 == sample.answered
    assert sum(latency > 100_000_000 for latency in sample.latencies_ns) >= 15


async def test_a_wrong_answer_is_a_failure() -> None:
    """Status 500, and a stream that ends early, are told and never timed."""
    assert "status 500" in await _told(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno", 0, [9])
    one = b'data: {"content":"tok%019d"}\n\n' % time.monotonic_ns()
    short = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%sdata: [DONE]\n\n"
    assert "1 of 2 chunks" in await _told(short % (len(one) + 14, one), 2, [30])


@pytest.mark.parametrize("piece_bytes", [1, 7, 22, 23, 24, 100])
async def test_chunks_are_counted_once_wherever_reads_split(piece_bytes: int) -> None:
    """Five chunks are five, in pieces of any size."""
    events = b"".join(b'data: {"content":"tok%019d"}\n\n' % time.monotonic_ns() for _ in range(5))
    events += b"data: [DONE]\n\n"
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(events), events)
    connection = _connected(5)
    asked = connection.ask(b"")
    for start in range(0, len(whole), piece_bytes):
        connection.data_received(whole[start : start + piece_bytes])
    assert 5 == len((await asked).chunk_delays_ns)


def test_cpu_of_children_that_ended_is_counted() -> None:
    """What a child used that is gone still shows in its parent's tree."""
    burn = "import subprocess,sys; subprocess.run([sys.executable,'-c','x=0\\nfor i in range(10**7): x+=i'])"
    parent = subprocess.Popen([sys.executable, "-c", burn + "; input()"], stdin=subprocess.PIPE)
    try:
        _until(lambda: len(processes.tree({"one": parent.pid})) > 1)
        _until(lambda: len(processes.tree({"one": parent.pid})) == 1)
        assert processes.cpu_s({"one": parent.pid})["one"] > 0.1
    finally:
        parent.communicate(b"\n")


def test_stacks_count_for_the_innermost_layer_that_is_known() -> None:
    """C functions count for whoever called them; threads that wait count for nobody."""
    lines = [
        "run (uvloop/loop.pyx:1);f (meshgate_edge/a.py:7);memcpy (libc.so.6) 3",
        "f;epoll_wait (libc.so.6) 9",
    ]
    found = stacks.parse(lines)
    assert {"our code": 3} == dict(stacks.by_layer(found))
    assert {"f (meshgate_edge/a.py)": 3} == dict(stacks.whole_time(found, "meshgate_"))


class _Transport:
    def write(self, _: bytes) -> None: ...

    def close(self) -> None: ...


def _connected(expected_chunks: int) -> Connection:
    connection = Connection(expected_chunks)
    connection.connection_made(_Transport())  # type: ignore[arg-type]
    return connection


async def _told(answer: bytes, expected_chunks: int, cuts: list[int]) -> str:
    connection = _connected(expected_chunks)
    asked: asyncio.Future[Response] = connection.ask(b"")
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        connection.data_received(answer[start:end])
    with pytest.raises(ResponseError) as refused:
        await asked
    return str(refused.value)


def _until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


def test_a_run_with_failures_is_written_whole(tmp_path: Path) -> None:
    """What failed stands in the record, beside the figures of what did not."""
    result = Result("1", {"saturation_per_s": Spread((1.0,))}, Counter({"status 500": 2}), 7, {}, {}, {})
    noise = {"rounds": 1, "cores_busy_before": 0.1, "cores_busy_after": 0.2}
    data, picture, text = write(
        tmp_path, "full", ({"direct": result, "meshgate": result}, {"untraced": result}), noise
    )
    record = json.loads(data.read_text())
    assert {"status 500": 2} == record["subjects"]["meshgate"]["failures"]
    assert 1.0 == record["subjects"]["meshgate"]["figures"]["saturation_per_s"]["median"]
    assert 7 == record["side_by_side"]["untraced"]["answered"]
    assert picture.read_text().startswith("<svg")
    assert "FAILED meshgate: 2 x status 500" in text.read_text()
    assert not any(str(folder) in data.read_text() + text.read_text() for folder in (tmp_path, REPOSITORY))
