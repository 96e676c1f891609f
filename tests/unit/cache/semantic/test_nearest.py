"""Nearest vectors: right beside a plain computation, bounded, and apart by partition."""

import random

import numpy as np
import pytest

from meshgate_cache.semantic.nearest import FULL_ROWS_MAX, NearestVectors, row_bytes

DIMENSIONS = 384


def unit_vectors(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("numbers", [9, 60, 300])
def test_a_model_beside_it_agrees(numbers: int) -> None:
    """Random additions, replacements and removals, in partitions of few and of many: the same neighbours as
    numpy finds in float32."""
    chance, vectors = random.Random(numbers), unit_vectors(200, 1)
    subject, model = NearestVectors(), dict[int, tuple[bytes, int]]()
    for _ in range(4_000):
        number, at = chance.randrange(numbers), chance.randrange(200)
        if number in model:
            subject.remove(number)
            del model[number]
        if chance.random() < 0.7:
            partition = chance.choice([b"p", b"q"])
            subject.add(partition, number, vectors[at])
            model[number] = partition, at
    for partition in (b"p", b"q", b"r"):
        assert subject.has(partition) == any(partition == place[0] for place in model.values())
        for at in range(0, 200, 7):
            near = vectors[at] + 0.02 * vectors[(at + 1) % 200]
            found = {each.number for each in subject.search(partition, near, 0.9, 100)}
            assert {number for number, place in model.items() if place == (partition, at)} == found


@pytest.mark.parametrize("count", [5, 100, FULL_ROWS_MAX + 1_000])
def test_the_nearest_comes_first_with_its_cosine(count: int) -> None:
    """In small partitions and in large ones, which are searched in two passes."""
    vectors = unit_vectors(count, 2)
    subject = NearestVectors()
    for at in range(count):
        subject.add(b"p", at, vectors[at])
    for at in range(0, count, max(1, count // 50)):
        mixed = vectors[at] + 0.5 * vectors[(at + 1) % count]
        mixed /= np.linalg.norm(mixed)
        first = subject.search(b"p", mixed, 0.8, 5)[0]
        assert (at, pytest.approx(float(vectors[at] @ mixed), abs=0.01)) == (first.number, first.cosine)


def test_space_is_used_again() -> None:
    """Many small partitions and a large one come and go: no more space than for what is there."""
    vectors = unit_vectors(50, 3)
    subject = NearestVectors()
    for turn in range(20):
        for number in range(100):
            subject.add(b"%d %d" % (turn, number), number, vectors[number % 50])
        for number in range(100, 200):
            subject.add(b"large", number, vectors[number % 50])
        for number in range(200):
            subject.remove(number)
    assert 0 == subject.size_bytes
    subject.add(b"p", 7, vectors[0])
    assert 0 < subject.size_bytes < 20 * row_bytes(DIMENSIONS)


def test_long_vectors_are_found_in_large_partitions() -> None:
    """4,096 components, by the first pass over signs, too; beside shorter ones in other partitions."""
    count = FULL_ROWS_MAX + 200
    vectors = np.random.default_rng(5).standard_normal((count, 4_096)).astype(np.float32)
    subject = NearestVectors()
    subject.add(b"q", count, unit_vectors(1, 1)[0])
    for at in range(count):
        subject.add(b"p", at, vectors[at])
    for at in range(0, count, 100):
        near = vectors[at] + 0.5 * vectors[(at + 1) % count]
        assert at == subject.search(b"p", near, 0.8, 5)[0].number
    assert [count] == [each.number for each in subject.search(b"q", unit_vectors(1, 1)[0], 0.8, 5)]
