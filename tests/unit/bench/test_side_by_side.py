"""Meshes asked at the same time: each in its turn, none cheaper for its place, and a dearer one is seen."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench.asking import AT_A_RATE, BURSTS, CLOSED, PACED_STREAMS, Asking, Slices, offsets_ns, order
from bench.goals import goals_table, reached, scale
from bench.pairs import pairs, ratio
from bench.prompts import Target, requests
from bench.provider import Provider, provider
from bench.running import free_port, listens, running
from bench.session import DIRECT, Result, measure
from bench.side_by_side import side_by_side
from bench.statistics import Spread
from bench.subject import Subject, same_for_all
from bench.table import together
from bench.turn import Durations

COSTLY = """
import asyncio, sys, time

class Costly(asyncio.Protocol):
    def connection_made(self, transport): self._transport = transport

    def data_received(self, _):
        ends_s = time.thread_time() + int(sys.argv[2]) / 1e3
        while time.thread_time() < ends_s: pass
        self._transport.write(b'HTTP/1.1 200 OK\\r\\ncontent-length: 6\\r\\n\\r\\n"tok "')

async def main():
    server = await asyncio.get_running_loop().create_server(Costly, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""
SMALL = Slices(count=3, seconds=1.5, warm_up_s=0.1)  # a busy machine must not leave one without a tick
FEW, BURST, SLOW = replace(CLOSED, clients=2), replace(BURSTS, clients=1), replace(AT_A_RATE, per_second=4)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_order_comes_once_before_one_comes_again(count: int) -> None:
    """So that none is always the one behind a certain other."""
    whole = {2: 2, 3: 6, 4: 24}[count]
    assert whole == len({order(number, count) for number in range(whole)})
    firsts = Counter(order(number, count)[0] for number in range(whole))
    assert {whole // count} == set(firsts.values())


def test_each_is_asked_evenly_and_alone() -> None:
    """Three at 10/s: the gaps of each are 100 ms, and 33 ms lie between one and the next."""
    due = [list(offsets_ns(position, 3, AT_A_RATE, 1.0)) for position in range(3)]
    assert [10, 10, 10] == [len(one) for one in due]
    assert {100_000_000} == {later - earlier for earlier, later in pairwise(due[1])}
    assert [0, 33_333_333, 66_666_666] == [one[0] for one in due]


@pytest.fixture
def cheap_and_dear(tmp_path: Path) -> Iterator[tuple[Subject, Subject]]:
    """Two processes that answer for 20 and for 100 ms of CPU: many of the ticks in which it is counted."""
    with ExitStack() as stack:
        found = []
        for name, cost_ms in (("cheap", "20"), ("dear", "100")):
            port = free_port()
            command = [sys.executable, "-c", COSTLY, str(port), cost_ms]
            process = stack.enter_context(running(command, tmp_path / name, lambda port=port: listens(port)))
            found.append(_subject(name, Provider(port, "costly"), process.pid))
        yield found[0], found[1]


@pytest.mark.parametrize("load", [SLOW, FEW], ids=lambda one: one.name)
async def test_the_dearer_one_is_seen_whoever_comes_first(
    cheap_and_dear: tuple[Subject, Subject], load: Asking
) -> None:
    """At a rate and in a closed loop; the first has no ratio, and no answer is missing."""
    cheap, dear = cheap_and_dear
    for first, second in ((cheap, dear), (dear, cheap)):
        found = await side_by_side([first, second], (load,), SMALL)
        assert {"cheap": 0, "dear": 0} == {name: one.failures.total() for name, one in found.items()}
        assert not any(name.endswith("_ratio") for name in found[first.name].figures)
        ratios = found[second.name].figures[f"{load.name}_cpu_us_ratio"]
        assert (ratios.median > 2) == (second is dear)
        assert (ratios.median < 0.5) == (second is cheap)


async def test_each_kind_of_load_is_asked_of_all(tmp_path: Path) -> None:
    """At a rate: as many requests of each as there were due. Streams: whole, and told by the chunk."""
    with provider(tmp_path) as compiled:
        pid = _process_of(compiled.port)
        both = [_subject(name, compiled, pid) for name in ("one", "other")]
        found = await side_by_side(both, (AT_A_RATE, BURST, PACED_STREAMS), SMALL)
    asked = SMALL.count * int(SMALL.seconds * AT_A_RATE.per_second)
    for result in found.values():
        assert not result.failures
        assert asked < result.answered
        assert {"p50_ms", "switches", "cpu_us"} <= {
            name.rpartition("together_paced_")[2] for name in result.figures
        }
    assert "  CPU us/chunk" in together(found, [(BURST.name, BURST.title, BURST.each)])


async def test_turns_go_load_by_load_and_tell_what_is_added(tmp_path: Path) -> None:
    """Two that are the same provider: each has every load, and the second its latency beside the first."""
    with provider(tmp_path) as compiled:
        pid = _process_of(compiled.port)
        both = [_subject(name, compiled, pid) for name in (DIRECT, "other")]
        short = Durations(warm_up=0.1, saturation=0.3, rate50=0.3, rate200=0, hit=0, stream=0.3, sweep=0)
        found = await measure(both, short, 1)
    assert not any(one.failures for one in found.values())
    assert {"rate50_p50_added_ms", "stream_cpu_ms", "paced_first_token_p50_added_ms"} <= set(
        found["other"].figures
    )
    assert not any("added" in figure or figure.startswith("rate200") for figure in found[DIRECT].figures)


def _subject(name: str, one: Provider, pid: int) -> Subject:
    return same_for_all(name, one.port, one, "1", {name: pid})


def _process_of(port: int) -> int:
    """Whose last argument is this port."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.read_bytes().endswith(b"\0%d\0" % port):
            return int(path.parent.name)
    raise AssertionError(f"nobody has {port}")


def test_requests_may_ask_that_the_cache_is_left_alone() -> None:
    """In the words of LiteLLM; otherwise nothing is said of it."""
    plain, alone = (next(requests(Target(1), cached=cached)) for cached in (True, False))
    assert b'"cache":' not in plain
    assert b'"cache":{"no-cache":true,"no-store":true}' in alone


def test_goals_are_judged_absolutely_and_scaled_beside() -> None:
    """Twice LiteLLM's 12 ms here halves our figure in its column, and the verdict stays NO."""
    peer = {"saturation_per_s": 200.0, "rate50_p50_added_ms": 24.0, "saturation_cpu_us": 16_080.0}
    mine = {"saturation_per_s": 700.0, "rate50_p50_added_ms": 8.0, "saturation_cpu_us": 4_000.0}
    results = {"meshgate": _result(mine), "litellm-2": _result(peer)}
    told = {one.title: one for one in reached(results, {})}
    p50 = told["added at 50/s, p50 <= 5 ms"]
    assert (False, "8.0", 4.0, 4.0) == (p50.passed, p50.told, p50.scaled_by_p50, p50.scaled_by_cpu)
    assert "NO  added at 50/s, p50 <= 5 ms" in goals_table(results, {})
    assert "4.0 (below)" in goals_table(results, {})
    memory = told["memory of each process <= 120 MB resident"]
    assert (False, None) == (memory.passed, memory.scaled_by_p50)


def test_a_litellm_that_queues_is_told() -> None:
    """At 75/s and more than half of that asked, its latency is waiting, and scaling by it flatters."""
    peer = {"saturation_per_s": 75.0, "rate50_p50_added_ms": 54.0, "saturation_cpu_us": 16_080.0}
    assert "67% busy at 50/s here and queues" in scale({"litellm-2": _result(peer)}).told
    assert "queues" not in scale({"litellm-2": _result({**peer, "saturation_per_s": 171.0})}).told
    assert ("", 0.0) == (scale({}).told, scale({}).by_p50)


def test_tracing_is_judged_by_the_median_of_its_slices() -> None:
    """1 % by 1.10 and 100 % by 1.40, at both loads."""
    figures = {f"{load.name}_cpu_us_ratio": Spread((0.9, 1.12, 1.9)) for load in (AT_A_RATE, CLOSED)}
    traced = {"untraced": _result({}), "traced-1%": _result(figures), "traced-100%": _result(figures)}
    found = reached({}, traced)
    assert [False, False, True, True] == [one.passed for one in found]
    assert {"1.12 (0.90 1.90) x"} == {one.told for one in found}


def test_two_meshes_are_compared_round_by_round() -> None:
    """A round that was slow for both says nothing: 0.5 in each, although the medians' spread is large."""
    slow, fast = Spread((8.0, 2.0, 4.0)), Spread((4.0, 1.0, 2.0))
    assert Spread((0.5, 0.5, 0.5)) == ratio(slow, fast)
    assert ratio(slow, Spread((4.0,))) is None
    assert ratio(Spread((0.0,)), Spread((1.0,))) is None
    figures = {"saturation_cpu_us": slow}
    shown = pairs({"a": _result(figures), "b": _result({"saturation_cpu_us": fast})}, "a", "b")
    assert "0.50 (0.50 0.50)" in shown
    assert "edge" in shown and "150 (90)" in shown


def _result(figures: Mapping[str, float | Spread]) -> Result:
    spreads = {name: one if isinstance(one, Spread) else Spread((one,)) for name, one in figures.items()}
    memory = {"edge": (90 * 2**20, 150 * 2**20)}
    return Result("1", spreads, Counter(), 1, {}, memory, memory)
