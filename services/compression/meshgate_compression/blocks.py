"""Blocks: the parts of a text that are not prose: code, JSON values and tables.

Invariants: pure; linear in the length of the text (every scan has a named limit); the ranges are
in order and do not overlap.
"""

import re
from collections.abc import Callable, Iterator

Range = tuple[int, int]

JSON_FAILURES_MAX = 16  # Opening brackets that never close, before the search for JSON stops.
TABLE_LINES_MIN = 2
CSV_LINES_MIN = 3
CODE_LINES_MIN = 2
CODE_LINE_CHARS_MAX = 400

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_ELEMENT = re.compile(r"<(pre|code|script|style|table)\b[^<>\n]{0,200}>", re.IGNORECASE)
_JSON_START = re.compile(r'\{\s*(?:"|\}|\n)|\[\s*(?:[\[{"\]]|-?\d+(?:\.\d+)?\s*[,\]]|\n)')
_JSON_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_CODE_LINE = re.compile(
    r"\s*(?:[}\])]+[;,)]*$|\S.*[{;]$|\S.*\):$|#include\b|#!|@\w+(?:\(.*\))?$"
    r"|(?:async )?def \w+\(|class \w+[:({]|import [\w.{*]+$|from [\w.]+ import\b|return [\w.]+(?:\(.*\))?$"
    r"|(?:export |public |private |static )?(?:const|let|var|function|func|fn)\s+\w+\s*[=(:]"
    r"|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|FROM|WHERE)\b.*[\w;,)*]$"
    r"|\$ \S|>>> \S|[\w.\[\]]+\s*(?:[-+*/|&]?=|:=)\s*\S+.*[\w)\]}\"']$)"
)
_TABLE_RULE = re.compile(r"(?=.*\|)[-:| ]+")
_SENTENCE = re.compile(r"[a-z] [a-z]+ [a-z]+ [a-z]+ [a-z]+.*[.!?]\s*$")


def find_blocks(text: str) -> list[Range]:
    """Ranges (start, end) of code, JSON and tables; whole lines where the block is made of lines."""
    found = list(_fences(text))
    for finder in (_elements, _json_values, _line_blocks):
        found = _joined(found, finder(text))
    return found


def _joined(first: list[Range], more: Iterator[Range]) -> list[Range]:
    """The union of two ordered lists, overlapping ranges merged."""
    joined: list[Range] = []
    for start, end in sorted([*first, *more]):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _fences(text: str) -> Iterator[Range]:
    """Fenced code. A fence that is never closed reaches to the end, as in Markdown."""
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1].startswith(opening[1]) and not fence[0].strip().strip("`~"):
            yield opening.start(), fence.end()
            opening = None
    if opening is not None:
        yield opening.start(), len(text)


def _elements(text: str) -> Iterator[Range]:
    """Markup whose content is code or a table."""
    position = 0
    unclosed: set[str] = set()
    while opening := _ELEMENT.search(text, position):
        position = opening.end()
        closing = f"</{opening[1]}>"
        if closing in unclosed:
            continue
        end = text.find(closing, position)
        if end < 0:
            unclosed.add(closing)
            continue
        position = end + len(closing)
        yield opening.start(), position


def _json_values(text: str) -> Iterator[Range]:
    """Objects and arrays, also slightly broken ones: what looks like JSON is not rewritten."""
    position = 0
    failures = 0
    while failures < JSON_FAILURES_MAX and (opening := _JSON_START.search(text, position)):
        end = _json_end(text, opening.start())
        if end is None:
            failures += 1
            position = opening.end()
            if not text[: opening.start()].strip():
                yield opening.start(), len(text)  # Cut off JSON, as tools return it.
                return
        else:
            yield opening.start(), end
            position = end


def _json_end(text: str, start: int) -> int | None:
    """Where the bracket at `start` closes; None: nowhere."""
    depth = 0
    for step in _JSON_STEP.finditer(text, start):
        mark = step[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return step.end()
    return None


def _line_blocks(text: str) -> Iterator[Range]:
    """Tables, comma separated rows and unfenced code, found line by line."""
    lines: list[Range] = []
    position = 0
    for line in text.splitlines(keepends=True):
        lines.append((position, position + len(line)))
        position += len(line)
    for label, count_min in (
        (_table_label, TABLE_LINES_MIN),
        (_csv_label, CSV_LINES_MIN),
        (_code_label, CODE_LINES_MIN),
    ):
        yield from _runs(text, lines, label, count_min)


def _runs(text: str, lines: list[Range], label: Callable[[str], object], count_min: int) -> Iterator[Range]:
    """Ranges of at least `count_min` neighbouring lines with one label that is not None."""
    run_start = 0
    run_label: object = None
    count = 0
    end = 0
    for start, line_end in [*lines, (len(text), len(text))]:
        current = label(text[start:line_end].rstrip("\r\n")) if start < line_end else None
        if current is not None and current == run_label:
            count += 1
        else:
            if run_label is not None and count >= count_min:
                yield run_start, end
            run_start, run_label, count = start, current, 1
        end = start + len(text[start:line_end].rstrip("\r\n"))


def _table_label(line: str) -> object:
    """Markdown rows; rows of tab separated cells with the same number of cells."""
    stripped = line.strip()
    if stripped.startswith(("|", "+-", "+=")) and len(stripped) > 1:
        return "row"
    if " | " in stripped or _TABLE_RULE.fullmatch(stripped) is not None:
        return "row"
    return line.count("\t") or None if stripped else None


def _csv_label(line: str) -> object:
    """Rows of short comma or semicolon separated cells with the same number of cells."""
    for separator in (",", ";"):
        cells = line.split(separator)
        if len(cells) >= 3 and all(len(cell) <= 40 and cell.count(" ") <= 3 for cell in cells):
            return separator, len(cells)
    return None


def _code_label(line: str) -> object:
    """Lines that only a program has."""
    if len(line) > CODE_LINE_CHARS_MAX:
        return None
    if _CODE_LINE.match(line) is not None and _SENTENCE.search(line) is None:
        return "code"
    return None
