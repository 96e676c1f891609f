"""The verdicts of the long runs: each says no to what it is there to find."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.books import Books, Line, problems, wrong_amounts
from bench.drift import Slice, drifted
from bench.goals import reached
from bench.memory import MemoryWatch, judge
from bench.plot import plot
from bench.session import Result
from bench.statistics import Spread
from bench.streams import BENCHMARK, Part, Reading, judged_cost

LEAKING = "import sys; kept = []\nfor _ in sys.stdin: kept.append(bytearray(2_000_000)); print(flush=True)"
STEADY = "import sys\nfor _ in sys.stdin: print(flush=True)"
ENTRY = Line("soak-plain", "charge", "success", False, 3, 3, 500_000, 500_000)
BOOKS = Books((ENTRY,), 0, True, "the books balance")


def test_memory_that_stays_is_flat() -> None:
    """A few per cent up and down are not a leak."""
    samples = [(number * 2_000, 100_000_000 + (-1) ** number * 2_000_000) for number in range(41)]
    assert judge(samples).flat


def test_memory_that_grows_is_not_flat() -> None:
    """7 % over the part that is judged, although no step is larger than 0.2 %."""
    trend = judge([(number * 2_000, 100_000_000 + number * 175_000) for number in range(41)])
    assert not trend.flat
    assert pytest.approx(875_000) == trend.slope_per_10k
    assert 0.06 < trend.drift < 0.08


def test_a_step_is_not_flat_either() -> None:
    """A buffer that doubles once and stays so is within the line's drift, and is seen all the same."""
    assert not judge([(number, 100 if number < 38 else 112) for number in range(41)]).flat


def test_too_few_looks_are_no_proof() -> None:
    """Of what was not looked at nothing is said."""
    assert not judge([(0, 100), (1, 100)]).flat


@pytest.fixture(params=[STEADY, LEAKING], ids=["steady", "leaking"])
def child(request: pytest.FixtureRequest) -> Iterator[tuple["subprocess.Popen[bytes]", bool]]:
    process = subprocess.Popen(
        [sys.executable, "-c", request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process, request.param == STEADY
    finally:
        process.communicate()


def test_a_process_that_leaks_is_found(child: tuple["subprocess.Popen[bytes]", bool]) -> None:
    """A real process, looked at from outside: 2 MB for each request, or nothing."""
    process, steady = child
    assert process.stdin is not None and process.stdout is not None
    watch = MemoryWatch({"child": process.pid})
    for number in range(10):
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        watch.look(number)
    proportional, resident = watch.trends(since=2)["child"]
    assert (steady, steady) == (proportional.flat, resident.flat)


def test_books_that_are_right_have_no_problem() -> None:
    """As many entries as requests, nothing open, balanced, at their price."""
    assert [] == problems(BOOKS, {"soak-plain": 3})
    assert [] == wrong_amounts(BOOKS.lines, {"soak-plain": 500_000})


@pytest.mark.parametrize(
    "books",
    [
        replace(BOOKS, open_holds=1),
        replace(BOOKS, balanced=False),
        replace(BOOKS, lines=(replace(ENTRY, entries=2, requests=2),)),
        replace(BOOKS, lines=(replace(ENTRY, entries=4),)),
        replace(BOOKS, lines=(replace(ENTRY, kind="expiry"),)),
        replace(BOOKS, lines=(ENTRY, replace(ENTRY, model="stranger"))),
    ],
    ids=["open hold", "unbalanced", "lost", "doubled", "expired", "not asked for"],
)
def test_every_fault_of_the_books_is_told(books: Books) -> None:
    """One fault, one problem at least."""
    assert problems(books, {"soak-plain": 3})


@pytest.mark.parametrize(
    "line",
    [replace(ENTRY, most_nanos=500_001), replace(ENTRY, estimated=True), replace(ENTRY, outcome="cache_hit")],
    ids=["one nano too much", "an estimate", "a hit that was charged"],
)
def test_a_wrong_price_is_told(line: Line) -> None:
    """To the nano."""
    assert wrong_amounts([line], {"soak-plain": 500_000})


def test_delays_that_grow_are_a_drift() -> None:
    """p50 from 10 to 14 ms; 10 to 12 is none, and neither is one slow minute in the middle."""
    flat = [Slice(1_000, p50, 20.0, 40.0, 80.0) for p50 in (10.0, 10.5, 30.0, 11.0, 12.0)]
    grown = [replace(one, p50_ms=p50) for one, p50 in zip(flat, (10, 10, 12, 14, 14), strict=True)]
    tails = [replace(one, p99_ms=p99) for one, p99 in zip(flat, (40, 40, 50, 80, 90), strict=True)]
    assert [] == drifted(flat)
    assert ["p50 10.0 -> 14.0 ms"] == drifted(grown)
    assert ["p99 40.0 -> 85.0 ms"] == drifted(tails)
    assert drifted([flat[0]]) and drifted([flat[0], Slice.of([])])


def test_a_chunk_that_gets_dearer_than_the_machine_gets_slower_is_a_drift() -> None:
    """Everything slower by a third is none; ours alone by a fifth is one."""
    steady = [_part(600, 100), _part(600, 100), _part(800, 133), _part(810, 135)]
    grown = [_part(600, 100), _part(620, 100), _part(720, 100), _part(960, 133)]
    assert judged_cost(steady).passed
    assert not judged_cost(grown).passed and "6.10 -> 7.21 x" == judged_cost(grown).told
    assert not judged_cost(steady[:1]).passed


def test_a_part_is_what_the_accounts_say_between_two_readings() -> None:
    """CPU by process for each chunk, the machine's busy share, the pace in the end."""
    before = Reading(0, 10_000, {"edge": 1.0, BENCHMARK: 2.0}, 10.0, 100.0)
    after = Reading(9, 12_000, {"edge": 1.5, BENCHMARK: 2.1, "ledger": 0.1}, 17.0, 110.0)
    part = Part.between(before, after, 1_000)
    assert Part(12.0, 0.7, {"edge": 500.0, BENCHMARK: 100.0, "ledger": 100.0}) == part
    assert (600.0, 6.0) == (part.meshgate_us, part.cost)


def _part(ours: float, benchmark: float) -> Part:
    return Part(300.0, 0.7, {"edge": ours, BENCHMARK: benchmark})


def test_goals_and_plot_are_made_of_a_run() -> None:
    """What is reached says yes, what is missed says no; the plot names who was measured."""
    results = {"meshgate": _result(300, 3_000, 4.0), "litellm-2": _result(50, 12_000, 30.0)}
    told = {one.title.split(" <=")[0].split(" >=")[0]: one.passed for one in reached(results, {})}
    assert {
        "requests/s": True,
        "CPU per request": True,
        "added at 50/s, p50": True,
        "memory of each process": False,
        "warm start": True,
    } == told
    drawn = plot(results, "told")
    assert "LiteLLM, 2 workers" in drawn and drawn.count("<svg") == drawn.count("</svg>") == 1


def _result(per_s: float, cpu_us: float, added_ms: float) -> Result:
    figures = {
        "saturation_per_s": Spread((per_s,)),
        "saturation_cpu_us": Spread((cpu_us,)),
        "rate50_p50_added_ms": Spread((added_ms,)),
        "saturation_cpu_us_edge": Spread((cpu_us / 2,)),
    }
    memory = {"edge": (90 * 2**20, 150 * 2**20)}
    return Result("1", figures, {}, 1, {"warm": 2.0}, memory, memory)  # type: ignore[arg-type]
