"""Starts subjects beside each other, has them measured, and keeps their logs when an answer was wrong."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import uvloop

from bench.asking import Asking, Slices
from bench.machine import REPOSITORY, commit
from bench.mesh import Variant
from bench.peers import PeerMissingError, our_version
from bench.provider import provider
from bench.running import NotReadyError
from bench.session import Result, measure
from bench.side_by_side import side_by_side
from bench.subject import Place, Subject
from bench.turn import Durations

TOOLS = REPOSITORY / ".bench"

Start = Callable[[Place], AbstractContextManager[Subject]]


def measured(
    starts: Sequence[Start], durations: Durations, rounds: int, *, may_miss: Sequence[Start] = ()
) -> dict[str, Result]:
    """Starts the subjects, one after the other, and measures them turn by turn.

    `may_miss`: those without which the run goes on, when they can not be had here.
    """
    with all_up(starts, may_miss=may_miss) as (place, subjects):
        results = uvloop.run(measure(subjects, durations, rounds))
        keep_logs(place, results.values())
        return results


def side_by_side_results(
    starts: Sequence[Start], askings: Sequence[Asking], slices: Slices
) -> dict[str, Result]:
    """The same for subjects that are asked at the same time."""
    with all_up(starts) as (place, subjects):
        results = uvloop.run(side_by_side(subjects, askings, slices))
        keep_logs(place, results.values())
        return results


@contextmanager
def all_up(
    starts: Sequence[Start], *, may_miss: Sequence[Start] = ()
) -> Iterator[tuple[Place, list[Subject]]]:
    """The subjects, all of them ready."""
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
        yield place, subjects


def keep_logs(place: Place, results: Iterable[Result]) -> None:
    """What the processes wrote, for whoever looks into a failure; nothing when there was none."""
    if not any(one.failures for one in results):
        return
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


def ours(name: str, *, redis: bool = True) -> Variant:
    """The meshgate of this working tree."""
    return Variant(name, Path(sys.executable), f"{commit()}, {our_version()}", redis)
