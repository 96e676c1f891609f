"""What a text is about, as terms: words brought to one form, so that two texts can be compared.

Invariants: pure; one pass over the text; no language is assumed. Words are lower case, without
accents of case or possessive, with a light stem; scripts without spaces (Chinese, Japanese, Thai,
...) give overlapping pairs of characters instead, which is how search engines index them.
"""

import functools
import re

from meshgate_compression.stopwords import STOP_WORDS

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"

_WORD = re.compile(rf"[^\W\d_{UNSPACED}]+(?:['’][^\W\d_{UNSPACED}]+)?|\d+(?:[.,:/]\d+)*|[{UNSPACED}]+")
_UNSPACED_RUN = re.compile(rf"[{UNSPACED}]")
_SUFFIXES = (
    "ations", "ation", "ments", "ings", "ment", "ness", "ions", "ally", "ing",
    "ion", "ers", "ous", "ive", "est", "ed", "es", "er", "ly", "al", "s", "e",
)  # fmt: skip
_STEM_LENGTH_MIN = 3
_CACHE_WORDS_MAX = 1 << 16  # Stems remembered over requests: most words come again.


@functools.lru_cache(maxsize=_CACHE_WORDS_MAX)
def stem(word: str) -> str:
    """A light stem of a lower-case word: possessive and one common ending removed."""
    if word[0].isdigit():
        return word
    if word.endswith(("'s", "’s")):
        word = word[:-2]
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _STEM_LENGTH_MIN:
            word = word[: -len(suffix)]
            break
    if len(word) > _STEM_LENGTH_MIN and word[-1] == word[-2]:
        return word[:-1]  # "planned", "plan"
    return word[:-1] + "i" if word[-1] == "y" else word  # "cities", "city"


def terms(text: str) -> list[str]:
    """The terms of a text in order, with repeats, without stop words."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if word in STOP_WORDS:
            continue
        if word[0] >= UNSPACED[0] and _UNSPACED_RUN.match(word):
            found.extend(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        else:
            found.append(stem(word))
    return found


def trigrams(word: str) -> frozenset[str]:
    """Overlapping triples of characters, the word's borders included."""
    padded = f" {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
