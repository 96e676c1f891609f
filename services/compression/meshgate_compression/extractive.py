"""The extractive compressor: keeps the units of texts that are worth most, within a token budget.

Several texts are one passage with one budget: units of one document compete with those of another.
Invariants: pure and deterministic; no result is longer than its text; everything kept is byte-equal
and in order; code, JSON, tables, URLs, numbers and quoted strings are all kept; a passage that bears
the MARK of an earlier compression is left alone, so twice is the same as once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from meshgate_compression.candidates import Candidate, Count, Piece, candidates_of, phrases_of
from meshgate_compression.render import MARK, MARK_TOKENS_MAX, render
from meshgate_compression.score import Weights, unit_values
from meshgate_compression.select import Kept, select
from meshgate_compression.sentences import Unit, split_units
from meshgate_compression.spans import Kind, find_spans
from meshgate_compression.words import terms

ROUNDS_MAX = 3  # Corrections of the estimated size by the counted one.
TOLERANCE_SHARE = 0.02  # Of the budget; nearer is near enough.
FIXED_CHARGE_MIN = 0.75  # What is fixed makes the prose pay, down to this share of its ratio.
FREE_SHARE_MIN = 0.10  # Of the prose: at least this stays beside the numbers and quotes in it.


@dataclass(frozen=True, slots=True)
class Section:
    """One text of a passage. `fixed`: ranges that stay as they are, in order."""

    text: str
    fixed: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Prepared:
    text: str
    units: list[Unit]
    candidates: list[Candidate]


def extract(sections: Sequence[Section], ratio: float, question: str, count: Count) -> list[str]:
    """The texts in about `ratio` of their tokens; code, JSON and tables come on top.

    `question`: what the texts are to answer; "" when unknown. Returns the texts themselves when
    nothing can go, or when what must stay leaves nothing to gain.
    """
    texts = [section.text for section in sections]
    if any(MARK in text for text in texts):
        return texts
    prepared = [_prepare(section, count) for section in sections]
    candidates = [candidate for part in prepared for candidate in part.candidates]
    asked = terms(question)
    values = _values(prepared, asked)

    def phrases(candidate: Candidate) -> list[Piece]:
        return phrases_of(candidate, count)

    total = sum(count(text) for text in texts)
    budget = _budget(candidates, total, ratio)
    target = budget - MARK_TOKENS_MAX
    best, best_distance = texts, total - budget
    for _ in range(ROUNDS_MAX):
        results = _rendered(prepared, select(candidates, values, target, phrases, bool(asked)))
        tokens = sum(count(result) for result in results)
        distance = abs(tokens - budget)
        if distance < best_distance and tokens < total:
            best, best_distance = results, distance
        if distance <= TOLERANCE_SHARE * budget:
            break
        target += budget - tokens
    return [
        result if len(result) < len(text) and count(result) < count(text) else text
        for result, text in zip(best, texts, strict=True)
    ]


def _prepare(section: Section, count: Count) -> _Prepared:
    spans = find_spans(section.text, section.fixed)
    units = split_units(section.text, spans)
    return _Prepared(section.text, units, candidates_of(section.text, units, spans, count))


def _values(prepared: Sequence[_Prepared], asked: Sequence[str]) -> list[float]:
    """The value of every unit of the passage."""
    units: list[Sequence[str]] = []
    paragraphs: list[int] = []
    first_paragraph = 0
    for part in prepared:
        for unit in part.units:
            units.append(() if unit.solid else terms(part.text[unit.start : unit.end]))
            paragraphs.append(first_paragraph + unit.paragraph)
        first_paragraph += 1 + (part.units[-1].paragraph if part.units else 0)
    return unit_values(units, paragraphs, asked, Weights())


def _budget(candidates: Sequence[Candidate], total: int, ratio: float) -> float:
    """Tokens of the result, given those of the texts.

    Blocks come on top; what is fixed counts against the rest, in reason.
    """
    fixed = sum(candidate.tokens for candidate in candidates if candidate.unit.kind is Kind.FIXED)
    blocks = sum(candidate.tokens for candidate in candidates if candidate.unit.kind is Kind.BLOCK)
    prose = max(0, total - fixed - blocks)
    firm = min(prose, sum(candidate.firm_tokens for candidate in candidates) - fixed - blocks)
    free = max(ratio * (prose + fixed) - fixed, FIXED_CHARGE_MIN * ratio * prose)
    return fixed + blocks + max(free, firm + FREE_SHARE_MIN * (prose - firm))


def _rendered(prepared: Sequence[_Prepared], kept: Sequence[Kept]) -> list[str]:
    """Each text of what was kept of its units."""
    results: list[str] = []
    first = 0
    for part in prepared:
        following = first + len(part.units)
        results.append(render(part.text, part.units, kept[first:following]))
        first = following
    return results
