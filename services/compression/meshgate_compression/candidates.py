"""Candidates: units with what they cost, whole or reduced to what must stay of them.

Invariants: pure; costs are in tokens of the model's own tokenizer, each within a token of what the
unit adds to the result.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from meshgate_compression.sentences import Unit
from meshgate_compression.spans import Kind, Span

Count = Callable[[str], int]  # Tokens of a text, by the model's own tokenizer.

PHRASE_CHARS_MIN = 12
_PHRASE_END = re.compile(
    r"[,;:)、，；：]+\s*|(?<!\s)\s+[-—–(]\s*|(?<!\s)\s+(?=(?:and|but|or|und|oder|et|ou|y|e|и)\s)"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` = whole[start:end] and its tokens, the gap before it included."""

    start: int
    end: int
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit of `text`. `firm`: pieces that stay whatever else goes; `names`: that stay if they can."""

    text: str
    unit: Unit
    tokens: int
    firm_tokens: int  # What stays in any case.
    firm: tuple[Piece, ...]
    names: tuple[Piece, ...]


def candidates_of(text: str, units: Sequence[Unit], spans: Sequence[Span], count: Count) -> list[Candidate]:
    """One candidate per unit, in order; `spans` are the protected spans of the text, in order."""
    found: list[Candidate] = []
    following = 0
    end_before = 0
    for unit in units:
        firm: list[Piece] = []
        names: list[Piece] = []
        while following < len(spans) and spans[following].start < unit.end:
            span = spans[following]
            part = text[span.start : span.end]
            piece = Piece(span.start, span.end, count(part) + 1, part)
            (firm if span.kind is not Kind.NAME else names).append(piece)
            following += 1
        tokens = count(text[end_before : unit.end])
        firm_tokens = tokens if unit.solid else min(tokens, sum(piece.tokens for piece in firm))
        found.append(Candidate(text, unit, tokens, firm_tokens, tuple(firm), tuple(names)))
        end_before = unit.end
    return found


def phrases_of(candidate: Candidate, count: Count) -> list[Piece]:
    """The phrases of a unit, cut at punctuation and conjunctions, never inside a protected span."""
    text, unit = candidate.text, candidate.unit
    inside = [(piece.start, piece.end) for piece in (*candidate.firm, *candidate.names)]
    cuts = [unit.start]
    for match in _PHRASE_END.finditer(text, unit.start, unit.end):
        cut = match.end()
        if cut - cuts[-1] < PHRASE_CHARS_MIN or unit.end - cut < PHRASE_CHARS_MIN:
            continue
        if not any(start < cut < end or start < match.start() < end for start, end in inside):
            cuts.append(cut)
    cuts.append(unit.end)
    phrases: list[Piece] = []
    for start, end in pairwise(cuts):
        stripped = text[start:end].rstrip(" \t\n,;:(-—–、，；：")
        if stripped:
            last = max(start + len(stripped), *(e for s, e in inside if start <= s and e <= end), 0)
            phrases.append(Piece(start, last, count(text[start:last]) + 1, text[start:last]))
    return phrases
