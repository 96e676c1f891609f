"""The other 40 % of what the author of the ninth set wrote: until the rules stood, only totals were read."""

from collections.abc import Iterator
from pathlib import Path

from tools.semantic_pairs.generate import Pair, written

FILE = Path(__file__).with_suffix(".jsonl")


def traps() -> Iterator[Pair]:
    """Questions that look alike and need different answers."""
    yield from written(FILE)[0]


def paraphrases() -> Iterator[Pair]:
    """Questions of the FAQ kind that deserve the same answer."""
    yield from written(FILE)[1]
