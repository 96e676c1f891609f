"""Nearest vectors: right beside a plain computation, bounded, and apart by partition."""

import random

import numpy as np
import pytest

from meshgate_cache.semantic.nearest import FULL_ROWS_MAX, NearestVectors, row_bytes

DIMENSIONS = 384


def unit_vectors(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_model_beside_it_agrees() -> None:
    """Random additions, replacements and removals: the same neighbours as numpy finds in float32."""
    chance, vectors = random.Random(1), unit_vectors(200, 1)
    subject, model = NearestVectors(1_000), dict[str, tuple[bytes, int]]()
    for _ in range(2_000):
        name, at = f"n{chance.randrange(60)}", chance.randrange(200)
        if chance.random() < 0.3:
            assert subject.remove(name) == (model.pop(name, None) is not None)
        else:
            partition = chance.choice([b"p", b"q"])
            assert [] == subject.add(partition, name, vectors[at])
            model[name] = partition, at
    for partition in (b"p", b"q", b"r"):
        for at in range(0, 200, 7):
            near = vectors[at] + 0.02 * vectors[(at + 1) % 200]
            found = {each.name for each in subject.search(partition, near, 0.9, 100)}
            assert {name for name, place in model.items() if place == (partition, at)} == found
    assert len(model) == len(subject)


@pytest.mark.parametrize("count", [10, FULL_ROWS_MAX + 1_000])
def test_the_nearest_comes_first_with_its_cosine(count: int) -> None:
    """In small partitions and in large ones, which are searched in two passes."""
    vectors = unit_vectors(count, 2)
    subject = NearestVectors(count)
    for at in range(count):
        subject.add(b"p", str(at), vectors[at])
    for at in range(0, count, max(1, count // 50)):
        mixed = vectors[at] + 0.5 * vectors[(at + 1) % count]
        mixed /= np.linalg.norm(mixed)
        first = subject.search(b"p", mixed, 0.8, 5)[0]
        assert (str(at), pytest.approx(float(vectors[at] @ mixed), abs=0.01)) == (first.name, first.cosine)


def test_the_least_used_goes_first() -> None:
    """Whatever its partition."""
    vectors = unit_vectors(4, 3)
    subject = NearestVectors(3)
    for at, partition in enumerate([b"p", b"q", b"p"]):
        subject.add(partition, str(at), vectors[at])
    subject.used("0")

    assert ["1"] == subject.add(b"p", "3", vectors[3])
    assert ["0", "2", "3"] == [name for name in "0123" if name in subject]
    assert [] == subject.search(b"q", vectors[1], 0.5, 5)
    assert subject.size_bytes > 0


def test_bytes_are_bounded_whatever_the_length() -> None:
    """Long vectors: fewer of them, and no more space than for those."""
    vectors = np.random.default_rng(4).standard_normal((300, 4_096)).astype(np.float32)
    subject = NearestVectors(1_000, bytes_max=100 * row_bytes(4_096))
    gone = [name for at in range(300) for name in subject.add(b"p", str(at), vectors[at])]

    assert ([str(at) for at in range(200)], 100) == (gone, len(subject))
    assert subject.size_bytes <= 100 * row_bytes(4_096)
    assert ["299"] == [each.name for each in subject.search(b"p", vectors[299], 0.8, 5)]
    assert [] == subject.search(b"p", vectors[0], 0.8, 5)


def test_long_vectors_are_found_in_large_partitions() -> None:
    """4,096 components, by the first pass over signs, too."""
    count = FULL_ROWS_MAX + 200
    vectors = np.random.default_rng(5).standard_normal((count, 4_096)).astype(np.float32)
    subject = NearestVectors(count)
    for at in range(count):
        subject.add(b"p", str(at), vectors[at])
    for at in range(0, count, 100):
        near = vectors[at] + 0.5 * vectors[(at + 1) % count]
        assert str(at) == subject.search(b"p", near, 0.8, 5)[0].name
