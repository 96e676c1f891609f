"""Units: a text cut into sentences, list items, lines and blocks, with nothing lost.

A unit is text[start:end] without the white space around it; `separator` is the white space up to
the next unit. Invariants: pure, linear; leading white space + all units with their separators give
the text back; no cut falls inside a protected span.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from meshgate_compression.spans import Kind, Span

UNIT_CHARS_MAX = 480  # A longer sentence is cut at a clause, else at a word.
PARAGRAPH_LINES = 2  # So many line breaks part paragraphs.

_STOPS = ".!?…؟۔।॥։።"
_WIDE_STOPS = "。！？｡"
_CLOSERS = "\"'”’»)\\]*_」』）】"
_BOUNDARY = re.compile(
    rf"(?P<stop>[{_STOPS}]+[{_CLOSERS}]*)\s+"
    rf"|(?P<wide>[{_WIDE_STOPS}]+[{_CLOSERS}]*)\s*"
    r"|(?P<paragraph>\n[ \t]*\n\s*)"
    r"|(?P<line>\n[ \t]*)"
)
_CLAUSE = re.compile(r"[;:,、，；：—–]\s*|\s+[-—–]\s+|\s+")
_INITIAL = re.compile(r"(?:^|[\s.(])[^\W\d_]\.$")
_LIST_MARK = re.compile(r"\s*[-*>#(]*\s*(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})")  # "12." opens an item.
_ABBREVIATION_LIST = """
mr mrs ms dr prof sr jr st vs etc e.g i.e cf al fig figs no nos vol pp p inc ltd co corp dept
gen gov sen rep rev hon capt col sgt lt maj approx ca c est jan feb mar apr jun jul aug sep
sept oct nov dec u.s u.k ph.d bzw z.b d.h usw nr bd hr fr st mme mlle m art av sra ud
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())


@dataclass(frozen=True, slots=True)
class Unit:
    """text[start:end]; `paragraph` counts from 0. `kind`: BLOCK or FIXED when it is one such span."""

    start: int
    end: int
    separator: str
    paragraph: int
    kind: Kind | None = None

    @property
    def solid(self) -> bool:
        """True: stays whole in any case."""
        return self.kind is not None


def split_units(text: str, spans: Sequence[Span]) -> list[Unit]:
    """The units of a text; `spans` are its protected spans, in order."""
    bodies: list[tuple[int, int]] = []
    for start, end in pairwise(_cuts(text, spans)):
        body = text[start:end]
        if stripped := body.strip():
            first = end - len(body.lstrip())
            bodies.append((first, first + len(stripped)))
    solid = {(s.start, s.end): s.kind for s in spans if s.kind in (Kind.BLOCK, Kind.FIXED)}
    units: list[Unit] = []
    paragraph = 0
    starts = [*(start for start, _ in bodies), len(text)]
    for (start, end), following in zip(bodies, starts[1:], strict=True):
        separator = text[end:following]
        units.append(Unit(start, end, separator, paragraph, solid.get((start, end))))
        paragraph += separator.count("\n") >= PARAGRAPH_LINES
    return units


def _cuts(text: str, spans: Sequence[Span]) -> list[int]:
    """Positions where a unit may start, with 0 and the text's length."""
    starts = [span.start for span in spans]

    def inside(position: int) -> bool:
        index = bisect_right(starts, position) - 1
        return index >= 0 and spans[index].start < position < spans[index].end

    cuts = {0, len(text)}
    for span in spans:
        if span.kind is Kind.FIXED or (span.kind is Kind.BLOCK and _own_lines(text, span)):
            cuts.update((span.start, span.end))
    cuts.update(position for position in sentence_cuts(text) if not inside(position))
    ordered = sorted(cuts)
    extra = [
        position
        for start, end in pairwise(ordered)
        if end - start > UNIT_CHARS_MAX
        for position in _clause_ends(text, start, end)
        if not inside(position)
    ]
    return sorted({*ordered, *extra})


def _own_lines(text: str, span: Span) -> bool:
    """True when nothing but white space shares the block's lines."""
    line_start = text.rfind("\n", 0, span.start) + 1
    line_end = text.find("\n", span.end)
    after = text[span.end : line_end if line_end >= 0 else len(text)]
    return not text[line_start : span.start].strip() and not after.strip()


def sentence_cuts(text: str) -> Iterator[int]:
    """Positions after the sentences, lines and paragraphs of a text, white space included."""
    for match in _BOUNDARY.finditer(text):
        if match.lastgroup == "stop":
            if "\n" in match[0] or _ends_sentence(text, match):
                yield match.end()
        elif match.lastgroup != "line" or not _wrapped(text, match):
            yield match.end()


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """A full stop before a lower-case word, after an abbreviation or an initial does not end one."""
    if match.end() < len(text) and text[match.end()].islower():
        return False
    stop = match["stop"]
    if stop[0] != "." or len(stop) > 1:
        return True
    before = text[max(0, match.start() - 12) : match.start()]
    if _LIST_MARK.fullmatch(before.rsplit("\n", 1)[-1]) is not None:
        return False
    word = before.rsplit(None, 1)[-1].lower() if before.strip() else ""
    return word.lstrip("(\"'“") not in _ABBREVIATIONS and _INITIAL.search(before + ".") is None


def _wrapped(text: str, match: re.Match[str]) -> bool:
    """A line break inside a sentence: hard-wrapped prose goes on in lower case."""
    before, after = match.start() - 1, match.end()
    while before >= 0 and text[before] in " \t":
        before -= 1
    if before < 0 or after >= len(text):
        return True
    return (text[before].isalnum() or text[before] in ",-") and text[after].islower()


def _clause_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Cuts for an over-long unit: after a clause where there is one, else after a word."""
    last = start
    word_end = start
    for match in _CLAUSE.finditer(text, start, end):
        if match.end() - last > UNIT_CHARS_MAX // 2 and match[0].strip():
            last = match.end()
            yield last
        elif match.end() - last > UNIT_CHARS_MAX and word_end > last:
            last = word_end
            yield last
        word_end = match.end()
