"""Traps by the author of the ninth set against the wordings after the eleventh: before any result."""

from collections.abc import Iterator
from pathlib import Path

from tools.semantic_pairs.generate import Pair, written

FILE = Path(__file__).with_suffix(".jsonl")


def traps() -> Iterator[Pair]:
    """Questions that look alike and need different answers."""
    yield from written(FILE)[0]
