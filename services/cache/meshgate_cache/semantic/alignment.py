"""How well the words of two texts stand for each other, by their vectors in context. Pure.

A cosine of two whole texts is high when most of their words agree; here each word looks for its like in the
other text, and the one that fares worst is heard.

Invariant: symmetric in the two texts.
"""

from dataclasses import dataclass
from typing import Final

import numkong
import numpy as np
import numpy.typing as npt

CONTENT_WEIGHT_MIN: Final = 0.1  # small words weigh less, and may go without a like
SCALE: Final = 127.0


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Of each word: a row of length 127 as int8, and what it weighs (0 to 1)."""

    rows: npt.NDArray[np.int8]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Alignment:
    """`least`: the cosine of the content word that fares worst, 1 at best.

    `more`, `fewer`: the weight that finds no like, of the text that has more of it and of the other.
    """

    least: float
    more: float
    fewer: float


PERFECT: Final = Alignment(1.0, 0.0, 0.0)


def word_vectors(vectors: npt.NDArray[np.float32], weights: npt.NDArray[np.float32]) -> WordVectors:
    """Of vectors of any length above 0."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.rint(vectors * (SCALE / np.maximum(norms, 1e-9))).astype(np.int8)
    return WordVectors(rows, weights.astype(np.float32))


def aligned(a: WordVectors, b: WordVectors) -> Alignment:
    """A text without words has no like for any."""
    if not len(a.rows) or not len(b.rows):
        return Alignment(0.0, float(a.weights.sum() + b.weights.sum()), 0.0)
    cosines = np.asarray(numkong.cdist(a.rows, b.rows, metric="inner")) / (SCALE * SCALE)
    of_a, of_b = cosines.max(axis=1), cosines.max(axis=0)
    fewer, more = sorted((float(a.weights @ (1 - of_a)), float(b.weights @ (1 - of_b))))
    content_a, content_b = a.weights > CONTENT_WEIGHT_MIN, b.weights > CONTENT_WEIGHT_MIN
    least = min(_least(of_a[content_a]), _least(of_b[content_b]))
    return Alignment(min(1.0, least), max(0.0, more), max(0.0, fewer))


def _least(cosines: npt.NDArray[np.float32]) -> float:
    return float(cosines.min(initial=1.0))
