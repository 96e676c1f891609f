"""Pairs per second, their latency and their CPU: turn by turn, so that a noisy minute hits all alike."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.ledger.store import Stage, ledgers, line
from bench.processes import cpu_s
from bench.statistics import percentile

CLIENTS = 2  # processes, from CLIENTS_FROM callers on
CLIENTS_FROM = 64
KEYS = 16

# Off: a transaction for each, as many at a time as there are connections.
WAYS = ("core", "grpc", "edge")  # edge: what waits goes in one RPC, as the edge sends it
MODES: Mapping[str, Mapping[str, str]] = {
    "group": {},
    "single": {"MESHGATE_LEDGER_BATCH_ITEMS_MAX": "1", "MESHGATE_LEDGER_BATCHES_MAX": "8"},
}


@dataclass(slots=True)
class Cell:
    """All turns of one way, mode and number of callers."""

    way: str
    mode: str
    callers: int
    turns: list[dict[str, float]] = field(default_factory=list)


class Child:
    """A process that calls the ledger; see child.py."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid
        self.read()  # it is ready

    def order(self, callers: int, seconds: float, keys: int = KEYS) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line({"callers": callers, "seconds": seconds, "keys": keys}))
        self._process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise RuntimeError(f"a child of the benchmark ended with {self._process.wait()}")
        told: dict[str, Any] = json.loads(text)
        return told


@contextmanager
def child(place: Stage, kind: str, told: Mapping[str, str], address: str = "-") -> Iterator[Child]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.ledger.child", kind, address],
        env=place.ledger_environment("unused", told),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def measure(place: Stage, callers: list[int], turns: int, seconds: float) -> list[Cell]:
    """Every cell in every turn, the first turn of which only warms up."""
    cells = [Cell(way, mode, count) for count in callers for way in WAYS for mode in MODES]
    with ExitStack() as stack:
        cores = {mode: stack.enter_context(child(place, "core", told)) for mode, told in MODES.items()}
        pids: dict[str, int] = {}
        clients: dict[tuple[str, str], list[Child]] = {}
        for mode, told in MODES.items():
            pids |= stack.enter_context(ledgers(place, [mode], told))
            address = place.address(mode)
            for way in WAYS[1:]:
                clients[way, mode] = [
                    stack.enter_context(child(place, way, {}, address)) for _ in range(CLIENTS)
                ]
        for turn in range(turns + 1):
            for cell in cells:
                if cell.way == "core":
                    one = [cores[cell.mode]]
                    watched = {"ledger": cores[cell.mode].pid, "postgresql": place.postgres_pid}
                else:
                    one = clients[cell.way, cell.mode][: CLIENTS if cell.callers >= CLIENTS_FROM else 1]
                    watched = {"ledger": pids[cell.mode], "postgresql": place.postgres_pid}
                figures = _turn(one, watched, cell.callers, seconds if turn else seconds / 4)
                if turn:
                    cell.turns.append(figures)
    return cells


def _turn(
    children: list[Child], watched: Mapping[str, int], callers: int, seconds: float
) -> dict[str, float]:
    before = cpu_s(watched)
    for one in children:
        one.order(callers // len(children), seconds)
    told = [one.read() for one in children]
    spent = {name: seconds - before[name] for name, seconds in cpu_s(watched).items()}
    pairs = sum(each["pairs"] for each in told)
    reserve = [value for each in told for value in each["reserve_us"]]
    settle = [value for each in told for value in each["settle_us"]]
    ledger_cpu_s, postgres_cpu_s = spent["ledger"], spent["postgresql"]
    if watched["ledger"] == children[0].pid:
        ledger_cpu_s -= told[0]["load_cpu_s"]  # the core's callers are in its process
    return {
        "pairs_per_s": sum(each["pairs"] / each["duration_s"] for each in told),
        "ledger_cpu_us": ledger_cpu_s / pairs * 1e6,
        "postgresql_cpu_us": postgres_cpu_s / pairs * 1e6,
        "postgresql_share": postgres_cpu_s / max(1e-9, ledger_cpu_s + postgres_cpu_s),
        "pairs_per_ledger_core_s": pairs / ledger_cpu_s if ledger_cpu_s else math.nan,
        "reserve_p50_ms": percentile(reserve, 0.5) / 1e3,
        "reserve_p99_ms": percentile(reserve, 0.99) / 1e3,
        "settle_p50_ms": percentile(settle, 0.5) / 1e3,
        "settle_p99_ms": percentile(settle, 0.99) / 1e3,
    }
