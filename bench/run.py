"""`make bench`: starts all subjects, measures them in alternating turns, prints and writes the result."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import uvloop

from bench.machine import REPOSITORY, commit, other_load
from bench.mesh import Variant, mesh, redis_program
from bench.peers import PeerMissingError, litellm, nginx, our_version
from bench.provider import provider
from bench.record import RESULTS, write
from bench.report import report
from bench.running import NotReadyError
from bench.session import DIRECT, Result, measure
from bench.subject import Place, Subject, same_for_all
from bench.turn import FULL, QUICK, Durations

ROUNDS = 3
PEERS = ("nginx", "litellm")
TOOLS = REPOSITORY / ".bench"

Start = Callable[[Place], AbstractContextManager[Subject]]


def run(*, quick: bool, only: Sequence[str]) -> int:
    """Returns 1 when an answer was wrong or missing, else 0."""
    began_s = time.monotonic()
    told = "2 minutes" if quick else "14 minutes"
    print(f"about {told}; the first run installs nginx and LiteLLM before", flush=True)
    load_before = other_load()
    print(f"cores busy with something else before we began: {load_before:.2f}", flush=True)
    wanted = {name: start for name, start in _subjects(quick=quick).items() if not only or name in only}
    rounds = 1 if quick else ROUNDS
    peers = [start for name, start in wanted.items() if name.startswith(PEERS)]
    results = measured(list(wanted.values()), QUICK if quick else FULL, rounds, may_miss=peers)
    noise = {
        "cores_busy_before": round(load_before, 2),
        "cores_busy_after": round(other_load(), 2),
        "rounds": rounds,
        "left_out": [name for name in wanted if name not in results],
    }
    if not only:
        written = write(RESULTS, "quick" if quick else "full", results, noise)
        print("written:", ", ".join(str(path.relative_to(REPOSITORY)) for path in written))
    print("\n" + report(results))
    print(f"\n{time.monotonic() - began_s:.0f} s in all")
    return 1 if any(one.failures for one in results.values()) else 0


def measured(
    starts: Sequence[Start], durations: Durations, rounds: int, *, may_miss: Sequence[Start] = ()
) -> dict[str, Result]:
    """Starts the subjects, one after the other, and measures them side by side.

    `may_miss`: those without which the run goes on, when they can not be had here.
    """
    with workplace() as place, ExitStack() as stack:
        subjects = []
        for start in starts:
            try:
                subjects.append(stack.enter_context(start(place)))
            except (PeerMissingError, NotReadyError) as missing:
                if start not in may_miss:
                    raise
                print(f"\nLEFT OUT, the run goes on without it: {missing}\n", flush=True)
                continue
            told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in subjects[-1].start_s.items())
            print(f"  started {subjects[-1].name}  {told}", flush=True)
        results = uvloop.run(measure(subjects, durations, rounds))
        if any(one.failures for one in results.values()):
            _keep_logs(place)
        return results


def _keep_logs(place: Place) -> None:
    """What the processes wrote, for whoever looks into a failure."""
    kept = place.tools / "failed"
    shutil.rmtree(kept, ignore_errors=True)
    for log in place.folder.glob("**/*log"):
        copy = kept / log.relative_to(place.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, copy)
    print(f"  answers failed: logs kept in {kept}")


@contextmanager
def workplace() -> Iterator[Place]:
    """A folder for this run, gone with it, and the provider."""
    TOOLS.mkdir(exist_ok=True)
    (TOOLS / ".gitignore").write_text("*\n")
    folder = Path(tempfile.mkdtemp(prefix="meshgate-bench-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user
    try:
        with provider(folder / "provider") as running_provider:
            print(f"provider in {running_provider.kind}")
            yield Place(folder, TOOLS, running_provider)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def direct(place: Place) -> Iterator[Subject]:
    """No gateway at all."""
    yield same_for_all(DIRECT, place.provider.port, place.provider, place.provider.kind, {})


def ours(name: str, *, redis: bool = True) -> Variant:
    """The meshgate of this working tree."""
    return Variant(name, Path(sys.executable), f"{commit()}, {our_version()}", redis)


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
    for name, ratio in (("meshgate-traced-1%", 0.01), ("meshgate-traced-100%", 1.0)):
        subjects[name] = lambda place, name=name, ratio=ratio: mesh(  # type: ignore[misc]
            place, ours("meshgate", redis=redis).traced(name, ratio, place.provider.port)
        )
    return subjects
