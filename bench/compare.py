"""`make bench-compare BASE=<commit>`: the same figures for two commits, turn by turn.

BASE is checked out into a temporary folder with a venv of its own; the other is this working tree as it is.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.machine import REPOSITORY, commit
from bench.mesh import Variant, mesh, redis_program
from bench.report import report
from bench.run import direct, measured, ours
from bench.session import Result
from bench.table import changes
from bench.turn import FULL, QUICK

ROUNDS = 3
NOTICED = 0.10  # a change of more than that, beyond the spread of the turns, is said to be one


def compare(base: str, *, quick: bool) -> int:
    """Returns 1 when an answer was wrong or missing, else 0."""
    redis = redis_program() is not None
    with _checked_out(base) as folder:
        version = f"{commit(folder)}, {base}"
        theirs = Variant("meshgate-base", folder / ".venv/bin/python", version, redis)
        starts = [
            direct,
            lambda place: mesh(place, theirs),
            lambda place: mesh(place, ours("meshgate", redis=redis)),
        ]
        results = measured(starts, QUICK if quick else FULL, 1 if quick else ROUNDS)
    print("\n" + report(results))
    print("\n" + _told(results))
    if quick:
        print("one short round: below 40 % it may be noise; without QUICK=1 there are three")
    return 1 if any(one.failures for one in results.values()) else 0


def _told(results: Mapping[str, Result]) -> str:
    found = changes(results["meshgate-base"].figures, results["meshgate"].figures, NOTICED)
    return "\n".join(found) or "no figure differs by more than its spread and 10 %"


@contextmanager
def _checked_out(base: str) -> Iterator[Path]:
    """A worktree of `base` with its own .venv; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="meshgate-base-") as parent:
        Path(parent).chmod(0o711)
        folder = Path(parent) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", folder, base], cwd=REPOSITORY, check=True)
        try:
            subprocess.run(["make", "setup"], cwd=folder, check=True)
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=REPOSITORY, check=True)
