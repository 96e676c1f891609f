"""Words find their like in the other text, or are missed."""

import numpy as np

from meshgate_cache.semantic.alignment import PERFECT, WordVectors, aligned, word_vectors
from meshgate_cache.semantic.hashed_model import HashedModel


def words(*rows: list[float], weights: list[float]) -> WordVectors:
    """Of vectors in two dimensions."""
    return word_vectors(np.array(rows, dtype=np.float32), np.array(weights, dtype=np.float32))


def test_a_text_aligns_with_itself() -> None:
    """In whatever order."""
    (text,), (turned,) = HashedModel().embed(["red apples grow"]), HashedModel().embed(["grow apples red"])
    alignment = aligned(text.words, turned.words)

    assert np.isclose(1.0, alignment.least, atol=0.02)
    assert alignment.more < 0.05


def test_the_word_that_fares_worst_is_heard() -> None:
    """One of two content words has no like; a small word without a like does not count."""
    both = words([1, 0], [0, 2], weights=[1.0, 0.5])
    one = words([3, 0], weights=[1.0])
    small = words([1, 0], [0, 2], weights=[1.0, 0.05])

    assert 0.0 == aligned(both, one).least == aligned(one, both).least
    assert np.isclose(0.5, aligned(both, one).more)
    assert 0.0 == aligned(both, one).fewer
    assert np.isclose(PERFECT.least, aligned(small, one).least)


def test_nothing_is_like_nothing() -> None:
    """Texts without words."""
    nothing = WordVectors(np.empty((0, 2), np.int8), np.empty(0, np.float32))
    alignment = aligned(nothing, words([1, 0], weights=[1.0]))

    assert (0.0, 1.0) == (alignment.least, alignment.more)
