"""Protected spans: the parts of a text that compression must hand on byte for byte.

Two strengths:
- firm, in the result whatever else goes: what the caller fixed, code, JSON, tables, URLs, numbers,
  quoted strings, tags.
- whole, never cut or altered but free to leave with the sentence around them: names.

Invariants: pure; linear in the length of the text; the spans of one call are in order and do not
overlap. When in doubt a span is protected: the price is a few tokens, not a wrong answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from meshgate_compression.blocks import find_blocks
from meshgate_compression.inline import find_inline
from meshgate_compression.names import find_names


class Kind(Enum):
    """What a protected span is."""

    FIXED = "fixed"  # By the caller: a question, an instruction.
    BLOCK = "block"  # Code, JSON or table: lines of their own, or a whole value inside a line.
    INLINE_CODE = "inline_code"
    TAG = "tag"
    URL = "url"
    QUOTE = "quote"
    NUMBER = "number"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Span:
    """text[start:end], protected."""

    start: int
    end: int
    kind: Kind


def find_spans(text: str, fixed: Sequence[tuple[int, int]] = ()) -> list[Span]:
    """All protected spans of a text, in order, without overlap; `fixed` are the caller's own."""
    solid = _united(fixed, find_blocks(text))
    firm = sorted([*solid, *_between(text, solid)], key=lambda span: span.start)
    return _merged(firm, [Span(start, end, Kind.NAME) for start, end in find_names(text)])


def _united(fixed: Sequence[tuple[int, int]], blocks: Sequence[tuple[int, int]]) -> list[Span]:
    """Both in order; a block that overlaps a fixed range becomes part of it."""
    united: list[Span] = []
    marked = [(*span, Kind.FIXED) for span in fixed] + [(*span, Kind.BLOCK) for span in blocks]
    for start, end, kind in sorted(marked, key=lambda item: item[:2]):
        if united and start < united[-1].end:
            before = united.pop()
            joined = Kind.FIXED if Kind.FIXED in (kind, before.kind) else Kind.BLOCK
            united.append(Span(before.start, max(end, before.end), joined))
        else:
            united.append(Span(start, end, kind))
    return united


def _between(text: str, solid: Sequence[Span]) -> list[Span]:
    """The inline spans of the text around the solid ones."""
    starts = [0, *(span.end for span in solid)]
    ends = [*(span.start for span in solid), len(text)]
    gaps = list(zip(starts, ends, strict=True))
    return [Span(start, end, Kind(kind)) for start, end, kind in find_inline(text, gaps)]


def _merged(firm: list[Span], names: list[Span]) -> list[Span]:
    """Both lists in order; a name that touches a firm span gives way to it."""
    merged: list[Span] = []
    following = 0
    for name in names:
        while following < len(firm) and firm[following].start < name.end:
            merged.append(firm[following])
            following += 1
        if merged and merged[-1].end > name.start:
            continue
        merged.append(name)
    merged.extend(firm[following:])
    return merged
