"""`make bench-compare BASE=<commit>`: the same figures for two meshes that are both up: turn by turn, and
asked at the same time.

One is this working tree as it is. The other, BASE, is a commit, in a temporary folder with a venv of its own;
"." is this very tree. With variables for the base's processes (`--env NAME=VALUE`), what differs may be these
alone: a BASE whose code is this tree's is not checked out again.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.asking import AT_A_RATE, BURSTS, CLOSED, FASTER, HITS, PACED_STREAMS, Slices
from bench.beside import Start, all_up, keep_logs, ours
from bench.direct import direct
from bench.machine import REPOSITORY, commit
from bench.mesh import Variant, mesh, redis_program
from bench.pairs import pairs
from bench.report import beside, failed
from bench.session import Result, measure
from bench.side_by_side import side_by_side
from bench.table import changes, cpu_by_process
from bench.turn import Durations

ROUNDS = 4  # even: each is the first of a round as often as the other
TURNS = Durations(warm_up=1.5, saturation=5, rate50=6, rate200=0, hit=3, stream=4, sweep=1)
QUICK_TURNS = Durations(warm_up=1, saturation=3, rate50=4, rate200=0, hit=2, stream=2, sweep=0)
SLICES, QUICK_SLICES = Slices(count=8, seconds=4), Slices(count=3, seconds=3, warm_up_s=1)
LOADS = (AT_A_RATE, FASTER, HITS, CLOSED, BURSTS, PACED_STREAMS)
NOTICED = 0.10  # a change of more than that, beyond the spread of the turns, is said to be one
THIS_TREE = "."
BASE, NOW = "meshgate-base", "meshgate"


def compare(base: str, environment: Mapping[str, str], *, quick: bool) -> int:
    """Returns 1 when an answer was wrong or missing, else 0. `environment`: more for the base's processes."""
    now = ours(NOW, redis=redis_program() is not None)
    with _base(base, environment, now) as theirs:
        print(f"{BASE}: {theirs.version}\n{NOW}: {now.version}", flush=True)
        starts: list[Start] = [direct, lambda place: mesh(place, theirs), lambda place: mesh(place, now)]
        with all_up(starts) as (place, subjects):
            turns = QUICK_TURNS if quick else TURNS
            results = uvloop.run(measure(subjects, turns, 2 if quick else ROUNDS))
            together = uvloop.run(side_by_side(subjects[1:], LOADS, QUICK_SLICES if quick else SLICES))
            keep_logs(place, (*results.values(), *together.values()))
    print("\n" + _told(results, together))
    if quick:
        print("two short rounds: below 40 % it may be noise; without QUICK=1 there are four")
    return 1 if any(one.failures for one in (*results.values(), *together.values())) else 0


def _told(results: Mapping[str, Result], together: Mapping[str, Result]) -> str:
    found = changes(results[BASE].figures, results[NOW].figures, NOTICED)
    parts = [
        f"turn by turn\n{pairs(results, BASE, NOW)}",
        *(f"{name}\n{cpu_by_process(results, name)}" for name in (BASE, NOW)),
        beside(together, LOADS),
        "\n".join(found) or "turn by turn, no figure differs by more than its spread and 10 %",
        failed({name: result for name, result in results.items() if name != BASE}),
        failed({f"{name}, at the same time": result for name, result in together.items()}),
    ]
    return "\n\n".join(part for part in parts if part)


@contextmanager
def _base(base: str, environment: Mapping[str, str], now: Variant) -> Iterator[Variant]:
    """The mesh to compare with."""
    told = " ".join(f"{name}={value}" for name, value in environment.items())
    if base == THIS_TREE or (environment and _same_code(base)):
        yield replace(now, name=BASE, version=f"this tree, {told or 'unchanged'}", environment=environment)
        return
    with _checked_out(base) as folder:
        version = f"{commit(folder)}, {base}" + (f", {told}" if told else "")
        python = folder / ".venv/bin/python"
        yield replace(now, name=BASE, python=python, version=version, environment=environment)


def _same_code(base: str) -> bool:
    """Whether what would be measured of BASE is what stands in this tree."""
    code = ("services", "protos", "requirements")
    differs = ["git", "diff", "--quiet", base, "--", *code]
    strangers = ["git", "ls-files", "--others", "--exclude-standard", "--", *code]
    if subprocess.run(differs, cwd=REPOSITORY, check=False).returncode:
        return False
    return not subprocess.run(strangers, cwd=REPOSITORY, check=True, capture_output=True).stdout


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
