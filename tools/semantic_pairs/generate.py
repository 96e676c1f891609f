"""Lists of templates -> labelled pairs. Deterministic; the same on every machine."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

Swaps = Sequence[tuple[str, Sequence[str]]]
Paraphrases = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions. `same`: one answer serves both. `kind`: of the trap, or "paraphrase"."""

    a: str
    b: str
    same: bool
    kind: str


def swapped(kinds: Mapping[str, Swaps], pairs_of_template_max: int = 10) -> Iterator[Pair]:
    """Each template with each two of its fillers: looks alike, means something else."""
    for kind, swaps in kinds.items():
        for template, fillers in swaps:
            made = [(template.format(a), template.format(b)) for a, b in combinations(fillers, 2)]
            for first, second in made[:pairs_of_template_max]:
                yield Pair(first, second, False, kind)


def paired(kinds: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[Pair]:
    """Traps written out."""
    for kind, pairs in kinds.items():
        for first, second in pairs:
            yield Pair(first, second, False, kind)


def turned(templates: Sequence[str], things: Sequence[tuple[str, str]]) -> Iterator[Pair]:
    """Two arguments of a template in both orders."""
    for template in templates:
        for first, second in things:
            yield Pair(template.format(first, second), template.format(second, first), False, "order")


def alike(groups: Paraphrases) -> Iterator[Pair]:
    """Each two of a group: the same question in other words."""
    for group in groups:
        for first, second in combinations(group, 2):
            yield Pair(first, second, True, "paraphrase")


def crossed(groups: Paraphrases) -> Iterator[Pair]:
    """The first of each two groups: questions of one desk that have nothing to do with each other."""
    for first, second in combinations([group[0] for group in groups], 2):
        yield Pair(first, second, False, "random")


def written(path: Path) -> tuple[list[Pair], list[Pair]]:
    """Traps and paraphrases of a file: on each line a kind, and texts of which each two make a pair."""
    pairs = [
        Pair(first, second, row["same"], row["kind"])
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        for first, second in combinations(row["texts"], 2)
    ]
    return [pair for pair in pairs if not pair.same], [pair for pair in pairs if pair.same]
