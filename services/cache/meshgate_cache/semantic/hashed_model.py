"""Vectors of words and letter groups by hashing: the light fallback where no model is installed. Pure.

Finds texts that share words, not meanings; the verifier and the score decide as with any other model.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from meshgate_cache.semantic.model import Vectors, unit

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

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            for feature, weight in _features(text):
                digest = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                vectors[row, digest % DIMENSIONS] += weight if digest & 0x8000_0000 else -weight
        return unit(vectors)


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.lower()):
        yield word, _WORD_WEIGHT
        framed = f"<{word}>"
        for start in range(len(framed) - _GROUP_LETTERS + 1):
            yield framed[start : start + _GROUP_LETTERS], 1.0
