"""What a run has to show, and whether it did."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import REPOSITORY


@dataclass(frozen=True, slots=True)
class Verdict:
    """`told`: the figures, or what is wrong."""

    title: str
    passed: bool
    told: str


def show_verdicts(verdicts: Sequence[Verdict], written: Path) -> int:
    """Prints them; 1 when one is no, else 0."""
    print()
    for one in verdicts:
        print(f"{'yes' if one.passed else 'NO '}  {one.title}: {one.told}")
    print(f"written: {written.relative_to(REPOSITORY)}")
    return 0 if all(one.passed for one in verdicts) else 1
