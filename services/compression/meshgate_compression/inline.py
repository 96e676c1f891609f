"""Inline spans: what inside a line of prose must stay as it is: code, tags, URLs, quotes, numbers.

Each rule looks for a mark that is cheap to find (a digit, "://", an opening quote), takes what
follows by a pattern and what precedes by a set of characters. Invariants: pure; linear, as nothing
is scanned twice beyond named limits.
"""

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from meshgate_compression.words import UNSPACED

QUOTE_CHARS_MAX = 200  # A longer "quote" is speech, or prose between two stray marks.

_ASCII_WORD = frozenset(string.ascii_letters + string.digits)
_SIGNS = frozenset("$€£¥₹#+±−~-")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_LETTER = rf"[^\W_{UNSPACED}]"
_URL_REST = r"[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]}]"


def _never(_: str) -> bool:
    return False


def _scheme(character: str) -> bool:
    return character in _ASCII_WORD or character in "+.-"


def _mailbox(character: str) -> bool:
    return character.isalnum() or character in "_.+-"


def _folder(character: str) -> bool:
    return character in ".~"


def _word(character: str) -> bool:
    return character in "_-" or (character.isalnum() and _UNSPACED.match(character) is None)


@dataclass(frozen=True, slots=True)
class _Rule:
    """`marks`: the text must have one of them. `before`: what belongs to the span left of the match."""

    kind: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    before: Callable[[str], bool] = _never
    before_max: int = 0


def _quote(opening: str, closing: str, before: str = "", after: str = "") -> _Rule:
    inside = rf"[^{opening}{closing}\n]{{1,{QUOTE_CHARS_MAX}}}"
    return _Rule("quote", (opening,), re.compile(rf"{opening}{before}{inside}[{closing}]{after}"))


# In order of precedence where two start at the same character.
_RULES = (
    _Rule("inline_code", ("`",), re.compile(r"`[^`\n]+`|``[^\n]{1,400}?``")),
    _Rule(
        "tag", ("<",), re.compile(r"<(?:/?[A-Za-z][\w:.-]{0,63}(?:\s[^<>\n]{0,200})?|!--[^<>\n]{0,200}--)>")
    ),
    _Rule("url", ("://",), re.compile(rf"://{_URL_REST}"), _scheme, 16),
    _Rule("url", ("www.",), re.compile(rf"www\.{_URL_REST}")),
    _Rule("url", ("@",), re.compile(r"@[\w-]{1,64}(?:\.[\w-]{1,64})+"), _mailbox, 64),
    _Rule("url", ("/",), re.compile(r"/(?<![\w/]/)[\w.@+-]+(?:/[\w.@+-]+)+/?"), _folder, 2),
    _Rule("url", (":\\",), re.compile(r":\\[^\s\"'`<>|]+"), _ASCII_WORD.__contains__, 1),
    _quote('"', '"', r'(?<![\w"]")', r'(?![\w"])'),
    _quote("'", "'", r"(?<![\w']')", r"(?![\w'])"),
    _quote("‘", "’", after=r"(?!\w)"),
    _quote("“", "”"),
    _quote("„", "“”"),
    _quote("«", "»"),
    _quote("「", "」"),
    _quote("『", "』"),
    # The whole word around a digit: 1,600 · $3.5bn · COVID-19 · v2.0.1 · 5½ · 24 % · 12:30.
    _Rule(
        "number",
        (),
        re.compile(rf"\d(?:{_LETTER}|_|[.,:/'’+-](?=\w)|[°%‰½⅓⅔¼¾⅛⅜⅝⅞])*(?:(?<=\d)[ \u00a0\u202f]%)?"),
        _word,
        32,
    ),
    _Rule("number", tuple("½⅓⅔¼¾⅛⅜⅝⅞"), re.compile(r"[½⅓⅔¼¾⅛⅜⅝⅞]+")),
    _Rule(
        "number",
        tuple("〇零一二三四五六七八九十百千万亿萬億兆"),
        re.compile(r"[〇零一二三四五六七八九十百千万亿萬億兆]{2,}"),
    ),
)


def find_inline(text: str, gaps: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
    """(start, end, kind) of the inline spans in these ranges of the text, in order, no overlap.

    Kinds: inline_code, tag, url, quote, number. Of two that overlap the one that starts first wins.
    """
    found: list[tuple[int, int, int]] = []
    for precedence, rule in enumerate(_RULES):
        if not rule.marks or any(mark in text for mark in rule.marks):
            found.extend((start, precedence, end) for start, end in _matches(rule, text, gaps))
    found.sort()
    chosen: list[tuple[int, int, str]] = []
    for start, precedence, end in found:
        if not chosen or start >= chosen[-1][1]:
            chosen.append((start, end, _RULES[precedence].kind))
    return chosen


def _matches(rule: _Rule, text: str, gaps: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for gap_start, gap_end in gaps:
        for match in rule.pattern.finditer(text, gap_start, gap_end):
            start = match.start()
            floor = max(gap_start, start - rule.before_max)
            while start > floor and rule.before(text[start - 1]):
                start -= 1
            if rule.kind == "number" and start > gap_start and text[start - 1] in _SIGNS:
                start -= 1
            yield start, match.end()
