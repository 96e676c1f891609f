"""The nearest of many unit vectors, in partitions that never see each other. Memory only.

Vectors are kept as int8, a quarter of float32, and all of a partition are compared: there is no index to
build, to forget or to rebuild. In a large partition a first pass compares the signs of the components only,
one bit each: vectors at an angle differ in about so large a part of their signs. What may be near enough by
that is compared in full; what chance hides from it (once in 30,000) is a miss.

Invariants: a search sees one partition only; no more than `entries_max` entries, nor `bytes_max` bytes of
rows; the least recently used one goes first; rows of a partition are dense.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numkong
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int8]
Signs = npt.NDArray[np.uint64]

FIRST_ROWS: Final = 2
FULL_ROWS_MAX: Final = 1_024  # up to here one pass over everything is as fast
FINALISTS_MAX: Final = 512
DEVIATIONS: Final = 4.0  # how far from what the angle says the number of different signs may be
BLOCK: Final = 8_192  # rows at a time: what is between stays in the processor's cache
BYTES_MAX: Final = 512 * 1024 * 1024
BITS: Final = 64  # of one machine word of signs


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`cosine`: within 0.01 of the exact one."""

    name: str
    cosine: float


class NearestVectors:
    """Names with their vectors, by partition."""

    def __init__(self, entries_max: int, bytes_max: int = BYTES_MAX) -> None:
        self._entries_max = entries_max
        self._bytes_max = bytes_max  # of rows in use
        self._row_bytes = 0
        self._partition_of: OrderedDict[str, _Partition] = OrderedDict()  # least recently used first
        self._partitions: dict[bytes, _Partition] = {}

    def __len__(self) -> int:
        return len(self._partition_of)

    def __contains__(self, name: str) -> bool:
        return name in self._partition_of

    @property
    def size_bytes(self) -> int:
        """Of the vectors."""
        return sum(partition.size_bytes for partition in self._partitions.values())

    def add(self, partition: bytes, name: str, vector: Vector) -> list[str]:
        """Adds or replaces; returns the names that had to go for it."""
        return self.add_row(partition, name, quantised(vector))

    def add_row(self, partition: bytes, name: str, row: Rows) -> list[str]:
        """As `add`, for a vector that is `quantised`. All rows of a partition have one length."""
        self.remove(name)
        gone = []
        size = row_bytes(len(row))
        while self._partition_of and not self._fits(size):
            oldest = next(iter(self._partition_of))
            self.remove(oldest)
            gone.append(oldest)
        rows = self._partitions.get(partition)
        if rows is None:
            rows = self._partitions[partition] = _Partition(partition, len(row), self._rows_max(size))
        self._partition_of[name] = rows
        self._row_bytes += size
        rows.add(name, row)
        return gone

    def remove(self, name: str) -> bool:
        """True when it was there."""
        rows = self._partition_of.pop(name, None)
        if rows is None:
            return False
        rows.remove(name)
        self._row_bytes -= row_bytes(rows.dimensions)
        if not rows.count:
            del self._partitions[rows.name]
        return True

    def used(self, name: str) -> None:
        """Keeps it longer than those that are not used."""
        if name in self._partition_of:
            self._partition_of.move_to_end(name)

    def has(self, partition: bytes) -> bool:
        """Whether there is anything to find."""
        return partition in self._partitions

    def search(self, partition: bytes, vector: Vector, cosine_min: float, count_max: int) -> list[Neighbour]:
        """The nearest first."""
        rows = self._partitions.get(partition)
        return [] if rows is None else list(rows.search(quantised(vector), cosine_min, count_max))

    def _fits(self, size: int) -> bool:
        return len(self._partition_of) < self._entries_max and self._row_bytes + size <= self._bytes_max

    def _rows_max(self, size: int) -> int:
        return max(1, min(self._entries_max, self._bytes_max // size))


class _Partition:
    """Dense rows that grow by doubling, up to as many as there may be."""

    def __init__(self, name: bytes, dimensions: int, rows_max: int) -> None:
        self.name = name
        self.dimensions = dimensions
        self._rows_max = rows_max
        self._rows: Rows = np.empty((FIRST_ROWS, dimensions), dtype=np.int8)
        self._signs: Signs = np.empty((-(-dimensions // BITS), FIRST_ROWS), dtype=np.uint64)
        self._norms = np.empty(FIRST_ROWS, dtype=np.float32)
        self._names: list[str] = []
        self._row_of: dict[str, int] = {}

    @property
    def count(self) -> int:
        return len(self._names)

    @property
    def size_bytes(self) -> int:
        return int(self._rows.nbytes + self._signs.nbytes + self._norms.nbytes)

    def add(self, name: str, row: Rows) -> None:
        at = len(self._names)
        if at == len(self._rows):
            self._resize(min(2 * at, max(self._rows_max, at + 1)))
        self._rows[at], self._signs[:, at], self._norms[at] = row, signs(row), norm(row)
        self._names.append(name)
        self._row_of[name] = at

    def remove(self, name: str) -> None:
        """The last row takes its place."""
        at, last_name = self._row_of.pop(name), self._names.pop()
        if last_name != name:
            last = len(self._names)
            self._rows[at], self._signs[:, at] = self._rows[last], self._signs[:, last]
            self._norms[at] = self._norms[last]
            self._names[at] = last_name
            self._row_of[last_name] = at
        if FIRST_ROWS <= 4 * len(self._names) < len(self._rows):
            self._resize(len(self._rows) // 2)

    def search(self, row: Rows, cosine_min: float, count_max: int) -> Iterator[Neighbour]:
        few = self.count <= FULL_ROWS_MAX
        places = np.arange(self.count) if few else self._finalists(row, cosine_min)
        if not len(places):
            return
        rows = self._rows[: self.count] if few else self._rows[places]
        cosines = _products(row, rows) / (self._norms[places] * max(norm(row), 1e-9))
        for at in np.argsort(-cosines)[:count_max]:
            if cosines[at] >= cosine_min:
                yield Neighbour(self._names[places[at]], min(1.0, float(cosines[at])))

    def _finalists(self, row: Rows, cosine_min: float) -> npt.NDArray[np.intp]:
        """Places of the rows that may be near enough, the likeliest if there are very many."""
        asked, limit = signs(row), different_signs_max(len(row), cosine_min)
        places, counts = [], []
        for start in range(0, self.count, BLOCK):
            kept = self._signs[:, start : min(start + BLOCK, self.count)]
            different = np.bitwise_count(kept[0] ^ asked[0]).astype(np.uint16)
            for word in range(1, len(asked)):
                different += np.bitwise_count(kept[word] ^ asked[word])
            near = np.flatnonzero(different <= limit)
            places.append(near + start)
            counts.append(different[near])
        found, of_each = np.concatenate(places), np.concatenate(counts)
        if len(found) > FINALISTS_MAX:
            found = found[np.argpartition(of_each, FINALISTS_MAX)[:FINALISTS_MAX]]
        return found

    def _resize(self, rows: int) -> None:
        """Space for so many rows, which are no fewer than there are."""
        count = self.count
        self._rows = _resized(self._rows, rows, count)
        self._signs = np.ascontiguousarray(_resized(self._signs.T, rows, count).T)
        self._norms = _resized(self._norms, rows, count)


def _resized(array: npt.NDArray[Any], rows: int, count: int) -> npt.NDArray[Any]:
    resized = np.empty((rows, *array.shape[1:]), array.dtype)
    resized[:count] = array[:count]
    return resized


def _products(row: Rows, rows: Rows) -> npt.NDArray[np.float64]:
    """Inner products with each of the rows."""
    products: npt.NDArray[np.float64] = np.asarray(numkong.cdist(row[None, :], rows, metric="inner"))[0]
    return products


def row_bytes(dimensions: int) -> int:
    """Of one vector: its components, their signs, its length."""
    return dimensions + -(-dimensions // BITS) * 8 + 4


def signs(row: Rows) -> Signs:
    """One bit for each component, in machine words."""
    bits = np.zeros(-(-len(row) // BITS) * BITS, dtype=np.bool_)
    bits[: len(row)] = row > 0
    packed: Signs = np.packbits(bits).view(np.uint64)
    return packed


def different_signs_max(dimensions: int, cosine_min: float) -> int:
    """How many signs of vectors with at least this cosine differ, but for bad luck."""
    share = math.acos(max(-1.0, min(1.0, cosine_min))) / math.pi
    return math.ceil(dimensions * share + DEVIATIONS * math.sqrt(dimensions * share * (1 - share)))


def quantised(vector: Vector) -> Rows:
    """127 for the largest component; the direction is kept, the length is not."""
    largest = float(np.abs(vector).max(initial=0.0))
    row: Rows = np.rint(vector * (127.0 / max(largest, 1e-9))).astype(np.int8)
    return row


def norm(row: Rows) -> float:
    """Euclidean length."""
    return float(np.linalg.norm(row.astype(np.float32)))
