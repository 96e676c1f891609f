"""Vectors of words and letter groups by hashing: the light fallback where no model is installed. Pure.

Finds texts that share words, not meanings; the verifier and the score decide as with any other model.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from meshgate_cache.semantic.alignment import word_vectors
from meshgate_cache.semantic.model import FUNCTION_WORD_WEIGHT, TextVectors, unit
from meshgate_cache.semantic.vocabulary import FUNCTION_WORDS

DIMENSIONS: Final = 256
_WORD: Final = re.compile(r"\w+")
_GROUP_LETTERS: Final = 3
_WORD_WEIGHT: Final = 2.0


class HashedModel:
    """Implements `model.EmbeddingModel`. Loads nothing."""

    @property
    def name(self) -> str:
        return "hashed:1"

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Sequence[TextVectors]:
        return [_text(text) for text in texts]


def _text(text: str) -> TextVectors:
    words = _WORD.findall(text.lower())
    rows = np.zeros((len(words), DIMENSIONS), dtype=np.float32)
    for row, word in zip(rows, words, strict=True):
        for feature, weight in _features(word):
            digest = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            row[digest % DIMENSIONS] += weight if digest & 0x8000_0000 else -weight
    weights = [FUNCTION_WORD_WEIGHT if word in FUNCTION_WORDS else 1.0 for word in words]
    whole = unit(rows.sum(axis=0, keepdims=True))[0]
    return TextVectors(whole, word_vectors(rows, np.array(weights, dtype=np.float32)))


def _features(word: str) -> Iterator[tuple[str, float]]:
    """The word, and its groups of letters."""
    yield word, _WORD_WEIGHT
    framed = f"<{word}>"
    for start in range(len(framed) - _GROUP_LETTERS + 1):
        yield framed[start : start + _GROUP_LETTERS], 1.0
