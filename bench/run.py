"""`make bench`: all subjects in alternating turns, what tracing costs side by side; prints and writes it."""

import time
from collections.abc import Mapping, Sequence

from bench.beside import Start, measured, ours
from bench.direct import direct
from bench.machine import REPOSITORY, other_load
from bench.mesh import mesh, redis_program
from bench.peers import litellm, nginx
from bench.record import RESULTS, write
from bench.report import report
from bench.session import DIRECT, Result
from bench.tracing import tracing
from bench.turn import FULL, QUICK

ROUNDS = 3
PEERS = ("nginx", "litellm")
TRACING = "tracing"


def run(*, quick: bool, only: Sequence[str]) -> int:
    """Returns 1 when an answer was wrong or missing, else 0. `only`: subjects, and "tracing"; empty: all."""
    began_s = time.monotonic()
    told = "2 minutes" if quick else "15 minutes"
    print(f"about {told}; the first run installs nginx and LiteLLM before", flush=True)
    load_before = other_load()
    print(f"cores busy with something else before we began: {load_before:.2f}", flush=True)
    wanted = {name: start for name, start in _subjects(quick=quick).items() if not only or name in only}
    rounds = 1 if quick else ROUNDS
    peers = [start for name, start in wanted.items() if name.startswith(PEERS)]
    results: Mapping[str, Result] = {}
    if wanted:
        results = measured(list(wanted.values()), QUICK if quick else FULL, rounds, may_miss=peers)
    traced: Mapping[str, Result] = {}
    if not only or TRACING in only:
        traced = tracing(ours("", redis=redis_program() is not None), quick=quick)
    noise = {
        "cores_busy_before": round(load_before, 2),
        "cores_busy_after": round(other_load(), 2),
        "rounds": rounds,
        "left_out": [name for name in wanted if name not in results],
    }
    if not only:
        written = write(RESULTS, "quick" if quick else "full", (results, traced), noise)
        print("written:", ", ".join(str(path.relative_to(REPOSITORY)) for path in written))
    print("\n" + report(results, traced))
    print(f"\n{time.monotonic() - began_s:.0f} s in all")
    return 1 if any(one.failures for one in (*results.values(), *traced.values())) else 0


def _subjects(*, quick: bool) -> dict[str, Start]:
    """By name, in the order of their columns. `quick` leaves out what differs from another in one point."""
    redis = redis_program() is not None
    subjects: dict[str, Start] = {
        DIRECT: direct,
        "nginx": nginx,
        "meshgate": lambda place: mesh(place, ours("meshgate", redis=redis)),
        "litellm-2": lambda place: litellm(place, 2),
    }
    if quick:
        return subjects
    if redis:
        subjects["meshgate-memory"] = lambda place: mesh(place, ours("meshgate-memory", redis=False))
    subjects["litellm-1"] = lambda place: litellm(place, 1)
    return subjects
