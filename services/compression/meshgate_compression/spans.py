"""Protected spans: the parts of a text that compression must hand on byte for byte.

Two strengths:
- firm, in the result whatever else goes: what the caller fixed, code, JSON, tables, URLs, numbers,
  quoted strings, tags.
- whole, never cut or altered but free to leave with the sentence around them: names.

Invariants: pure; linear in the length of the text; the spans of one call are in order and do not
overlap. When in doubt a span is protected: the price is a few tokens, not a wrong answer.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from meshgate_compression.blocks import find_blocks
from meshgate_compression.names import find_names
from meshgate_compression.words import UNSPACED

QUOTE_CHARS_MAX = 200  # A longer "quote" is speech or prose between two stray marks.


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


_INLINE_CODE = r"`[^`\n]+`|``[^\n]+?``"
_TAG = r"</?[A-Za-z][\w:.-]{0,63}(?:\s[^<>\n]{0,200})?/?>|<!--[^\n]{0,200}?-->"
_URL = (
    r"(?:https?|ftp|file|wss?|s3|git|data)://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]"
    r"|\bwww\.[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"
    r"|(?<![\w./])(?:~|\.{1,2})?(?:/[\w.@+-]+){2,}/?"
    r"|\b[A-Za-z]:\\[^\s\"'`<>|]+"
)
_QUOTE = "|".join(
    rf"{before}{opening}[^{opening}{closing}\n]{{1,{QUOTE_CHARS_MAX}}}[{closing}]{after}"
    for before, opening, closing, after in (
        (r"(?<![\w\"])", '"', '"', r"(?![\w\"])"),
        ("", "“", "”", ""),
        ("", "„", "“”", ""),
        ("", "«", "»", ""),
        ("", "「", "」", ""),
        ("", "『", "』", ""),
        (r"(?<![\w'])", "'", "'", r"(?![\w'])"),
        (r"(?<![\w‘’])", "‘", "’", r"(?!\w)"),
    )
)
# The whole word around a digit: 1,600 · $3.5bn · COVID-19 · 5½ · v2.0.1 · 24% · 12:30 · 三百.
_LETTER = rf"[^\W_{UNSPACED}]"
_NUMBER = (
    rf"(?<!{_LETTER})[$€£¥₹#+±−~-]?(?:{_LETTER}|[_-]){{0,32}}\d(?:{_LETTER}|_|[.,:/'’+-](?=\w)|[°%‰])*"
    r"(?:(?<=\d)[ \u00a0\u202f]%)?"
    r"|[½⅓⅔¼¾⅛⅜⅝⅞]"
    r"|[〇零一二三四五六七八九十百千万亿萬億兆]{2,}"
)
# Kind, what a text must contain for the pattern to be worth trying, pattern. The first one wins.
_PATTERNS = (
    (Kind.INLINE_CODE, ("`",), _INLINE_CODE),
    (Kind.TAG, ("<",), _TAG),
    (Kind.URL, ("://", "www.", "@", "/", ":\\"), _URL),
    (Kind.QUOTE, tuple("\"“„«「『‘'"), _QUOTE),
    (Kind.NUMBER, (), _NUMBER),
)


@functools.cache  # At most 2 ** len(_PATTERNS) entries.
def _inline_pattern(kinds: tuple[Kind, ...]) -> re.Pattern[str]:
    return re.compile(
        "|".join(f"(?P<{kind.value}>{pattern})" for kind, _, pattern in _PATTERNS if kind in kinds)
    )


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
    inline = _inline_pattern(
        tuple(kind for kind, marks, _ in _PATTERNS if not marks or any(m in text for m in marks))
    )
    found: list[Span] = []
    position = 0
    for start, end in [*((b.start, b.end) for b in solid), (len(text), len(text))]:
        for match in inline.finditer(text, position, start):
            assert match.lastgroup is not None, "every alternative is named"
            found.append(Span(match.start(), match.end(), Kind(match.lastgroup)))
        position = end
    return found


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
