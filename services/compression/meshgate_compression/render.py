"""Rendering: the text made of what was kept, with its gaps marked.

A gap is written as the line break or the space it swallows, or as "…" beside a fragment of a
sentence. The first gap is written MARK, which tells readers, and the next compressor, that the text
is shortened. Invariants: pure; what is kept is byte-equal and in order; code and tables stay on
lines of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meshgate_compression.select import Kept
from meshgate_compression.sentences import Unit

MARK = "[⋯]"  # Not "[…]": that one is common in quoting, and a marked text is never shortened again.
GAP = "…"
MARK_TOKENS_MAX = 7  # MARK with the white space around it.


@dataclass(frozen=True, slots=True)
class _Run:
    """text[start:end], kept without a gap."""

    start: int
    end: int
    fragment_first: bool  # Its first, its last part is less than a unit.
    fragment_last: bool
    block: bool


def render(text: str, units: Sequence[Unit], kept: Sequence[Kept]) -> str:
    """The kept parts of the text, joined; the text itself when there is no gap."""
    runs = list(_runs(text, units, kept))
    if not runs:
        return MARK
    marked = False
    parts: list[str] = []
    if text[: runs[0].start].strip():
        parts.append(MARK + ("\n" if runs[0].block else " "))
        marked = True
    else:
        parts.append(text[: runs[0].start])
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        parts.append(text[run.start : run.end])
        if following is not None:
            parts.append(_joint(text, run, following, marked))
            marked = True
    rest = text[runs[-1].end :]
    if not rest.strip():
        parts.append(rest)
    elif not marked:
        parts.append(("\n" if runs[-1].block else " ") + MARK)
    return "".join(parts)


def _runs(text: str, units: Sequence[Unit], kept: Sequence[Kept]) -> Iterator[_Run]:
    """The kept parts in order; neighbours with only white space between them are one run."""
    current: _Run | None = None
    for unit, pieces in zip(units, kept, strict=True):
        if pieces is None:
            parts = [(unit.start, unit.end, False)]
        else:
            parts = [(piece.start, piece.end, True) for piece in pieces]
        for start, end, fragment in parts:
            if current is not None and not text[current.end : start].strip():
                current = _Run(
                    current.start, end, current.fragment_first, fragment, current.block or unit.solid
                )
            else:
                if current is not None:
                    yield current
                current = _Run(start, end, fragment, fragment, unit.solid)
    if current is not None:
        yield current


def _joint(text: str, before: _Run, after: _Run, marked: bool) -> str:
    """What stands for text[before.end:after.start]."""
    gap = text[before.end : after.start]
    lines = gap.count("\n")
    if lines:
        line = "\n\n" if "\n\n" in gap else "\n"
        return line if marked else line + MARK + line
    if not marked:
        return f" {MARK} "
    if before.fragment_last or after.fragment_first:
        return GAP
    return " " if any(letter.isspace() for letter in gap) else ""
