"""Names: capitalised words that are not capitalised merely because a sentence starts there.

Heuristic and without a list of names, so it works for every script that has capitals; a word too
many costs nothing but a less free cut. Invariants: pure, linear, ranges in order.
"""

import re
from collections.abc import Iterator
from functools import partial
from itertools import dropwhile

from meshgate_compression.stopwords import STOP_WORDS

_UPPER = "A-ZÀ-ÖØ-ÞĀ-ŽΆ-ΫА-ЯЁЀ-Џ"
_CAPITALISED = rf"[{_UPPER}][\w’'-]*\w|[{_UPPER}](?:\.[{_UPPER}]\.?)*"
_NAME = re.compile(
    rf"(?<![\w’'-])(?:{_CAPITALISED})(?:(?:(?:(?<=\b[{_UPPER}])\.)? |-|, (?=(?:Jr|Sr|Inc|Ltd)\b))"
    rf"(?:(?:of|of the|de|de la|la|du|von|van|van der|der|del|di|da|bin|al|y) )?(?:{_CAPITALISED}))*"
)
_STARTS_SENTENCE = frozenset('.!?…:;\n"“”„«»(*•#>[-—–。！？')


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Ranges of names."""
    ordinary = set(text.split())
    for match in _NAME.finditer(text):
        end = match.end()
        words = list(dropwhile(partial(_is_ordinary, ordinary), match[0].split(" ")))
        start = end - len(" ".join(words))
        if words and (len(words) > 1 or _surely_name(words[0]) or not _starts_sentence(text, start)):
            yield start, end


def _is_ordinary(ordinary: set[str], word: str) -> bool:
    """A word that this text, or any, also writes in lower case; a single letter."""
    lower = word.lower()
    return len(word) == 1 or lower in STOP_WORDS or (lower in ordinary and not _surely_name(word))


def _starts_sentence(text: str, position: int) -> bool:
    before = position - 1
    while before >= 0 and text[before] == " ":
        before -= 1
    return before < 0 or text[before] in _STARTS_SENTENCE


def _surely_name(word: str) -> bool:
    """An acronym, or capitals inside: NATO, McCarthy."""
    return word[1:] != word[1:].lower()
