"""The nearest of many vectors, in partitions that never see each other. Memory only.

Vectors are kept as int8, a quarter of float32, and all of a partition are compared: there is no index to
build, to forget or to rebuild. Most partitions have one vector or few, because a conversation is a context of
its own: those of all such partitions share their arrays. A partition of many has its own, and if it is large
a first pass over the signs of the components only, one bit each: vectors at an angle differ in about so large
a part of their signs. What may be near enough by that is compared in full; what chance hides from it (once in
30,000) is a miss.

Invariants: a search sees one partition only; there is no object for a vector, only places in arrays.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numkong
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int8]
Signs = npt.NDArray[np.uint64]

FEW_MAX: Final = 64  # vectors of a partition without arrays of its own
FIRST_ROWS: Final = 16
FULL_ROWS_MAX: Final = 1_024  # up to here one pass over everything is as fast
FINALISTS_MAX: Final = 512
DEVIATIONS: Final = 4.0  # how far from what the angle says the number of different signs may be
BLOCK: Final = 8_192  # rows at a time: what is between stays in the processor's cache
BITS: Final = 64  # of one machine word of signs


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`cosine`: within 0.01 of the exact one."""

    number: int
    cosine: float


class NearestVectors:
    """Vectors under numbers of the caller's, from 0: they are places in arrays. Bounded by the caller."""

    def __init__(self) -> None:
        self._partition_of: list[bytes | None] = []  # by number; one object for all of a partition
        self._at = np.empty(FIRST_ROWS, dtype=np.int32)  # by number: its row
        self._many: dict[bytes, _Many] = {}
        self._few: dict[int, _Few] = {}  # by length of a vector

    @property
    def size_bytes(self) -> int:
        """Of the vectors."""
        return sum(each.size_bytes for held in (self._many, self._few) for each in held.values())

    def add(self, partition: bytes, number: int, vector: Vector) -> None:
        """`number` must not be in use."""
        self.add_row(partition, number, quantised(vector))

    def add_row(self, partition: bytes, number: int, row: Rows) -> None:
        """As `add`, for a vector that is `quantised`. All rows of a partition have one length."""
        while number >= len(self._partition_of):
            self._partition_of.append(None)
        if number >= len(self._at):
            self._at = resized(self._at, 2 * number, len(self._at))
        many = self._many.get(partition)
        if many is None:
            few = self._few.get(len(row))
            if few is None:
                few = self._few[len(row)] = _Few(len(row))
            numbers = few.numbers.get(partition, ())
            if len(numbers) < FEW_MAX:
                self._at[number] = few.add(partition, number, row)
                self._partition_of[number] = self._partition_of[numbers[0]] if numbers else partition
                return
            many = self._many[partition] = self._moved(partition, few)
        self._partition_of[number] = many.name
        self._at[number] = many.add(number, row)

    def remove(self, number: int) -> None:
        """It must be in use."""
        partition, at = self._partition_of[number], int(self._at[number])
        assert partition is not None, "a number that was added"
        self._partition_of[number] = None
        many = self._many.get(partition)
        if many is None:
            few = next(few for few in self._few.values() if partition in few.numbers)
            few.remove(partition, number, at)
            if not few.numbers:  # the space of what was cleared is given back
                del self._few[few.rows.shape[1]]
            return
        self._at[many.remove(at)] = at
        if not many.count:
            del self._many[partition]

    def has(self, partition: bytes) -> bool:
        """Whether there is anything to find."""
        return partition in self._many or any(partition in few.numbers for few in self._few.values())

    def search(self, partition: bytes, vector: Vector, cosine_min: float, count_max: int) -> list[Neighbour]:
        """The nearest first."""
        row, many = quantised(vector), self._many.get(partition)
        if many is not None:
            return list(many.search(row, cosine_min, count_max))
        few = self._few.get(len(row))
        numbers = () if few is None else few.numbers.get(partition, ())
        if few is None or not numbers:
            return []
        at = self._at[list(numbers)]
        cosines = _cosines(row, few.rows[at], few.norms[at])
        return [Neighbour(numbers[place], cosine) for place, cosine in _best(cosines, cosine_min, count_max)]

    def _moved(self, partition: bytes, few: "_Few") -> "_Many":
        """A partition that becomes one of many."""
        many = _Many(partition, few.rows.shape[1])
        for number in few.numbers[partition]:
            at = int(self._at[number])
            self._at[number] = many.add(number, few.rows[at])
            self._partition_of[number] = partition
            few.remove(partition, number, at)
        return many


class _Few:
    """The vectors, of one length, of partitions with few of them. Places that became free are used again."""

    def __init__(self, dimensions: int) -> None:
        self.numbers: dict[bytes, tuple[int, ...]] = {}  # of each partition; never empty
        self.rows: Rows = np.empty((FIRST_ROWS, dimensions), dtype=np.int8)
        self.norms = np.empty(FIRST_ROWS, dtype=np.float32)
        self._free: list[int] = []
        self._end = 0  # places from here were never used

    @property
    def size_bytes(self) -> int:
        return int(self.rows.nbytes + self.norms.nbytes)

    def add(self, partition: bytes, number: int, row: Rows) -> int:
        """The place of it."""
        at = self._free.pop() if self._free else self._end
        if at == self._end:
            self._end += 1
            if at == len(self.rows):
                self.rows, self.norms = (resized(array, 2 * at, at) for array in (self.rows, self.norms))
        self.rows[at], self.norms[at] = row, norm(row)
        self.numbers[partition] = (*self.numbers.get(partition, ()), number)
        return at

    def remove(self, partition: bytes, number: int, at: int) -> None:
        left = tuple(each for each in self.numbers[partition] if each != number)
        if left:
            self.numbers[partition] = left
        else:
            del self.numbers[partition]
        self._free.append(at)


class _Many:
    """The vectors of one partition: dense rows that grow by doubling."""

    def __init__(self, name: bytes, dimensions: int) -> None:
        self.name = name
        self._rows: Rows = np.empty((FIRST_ROWS, dimensions), dtype=np.int8)
        self._signs: Signs = np.empty((-(-dimensions // BITS), FIRST_ROWS), dtype=np.uint64)
        self._norms = np.empty(FIRST_ROWS, dtype=np.float32)
        self._numbers = np.empty(FIRST_ROWS, dtype=np.int32)
        self.count = 0

    @property
    def size_bytes(self) -> int:
        return int(self._rows.nbytes + self._signs.nbytes + self._norms.nbytes)

    def add(self, number: int, row: Rows) -> int:
        """The place of it."""
        at = self.count
        if at == len(self._rows):
            self._resize(2 * at)
        self._rows[at], self._signs[:, at], self._norms[at] = row, signs(row), norm(row)
        self._numbers[at] = number
        self.count += 1
        return at

    def remove(self, at: int) -> int:
        """The last row takes its place; returns the number of that."""
        self.count = last = self.count - 1
        self._rows[at], self._signs[:, at] = self._rows[last], self._signs[:, last]
        self._norms[at], self._numbers[at] = self._norms[last], self._numbers[last]
        moved = int(self._numbers[last])
        if FIRST_ROWS <= 4 * self.count < len(self._rows):
            self._resize(len(self._rows) // 2)
        return moved

    def search(self, row: Rows, cosine_min: float, count_max: int) -> Iterator[Neighbour]:
        few = self.count <= FULL_ROWS_MAX
        places = np.arange(self.count) if few else self._finalists(row, cosine_min)
        if not len(places):
            return
        rows = self._rows[: self.count] if few else self._rows[places]
        cosines = _cosines(row, rows, self._norms[places])
        for at, cosine in _best(cosines, cosine_min, count_max):
            yield Neighbour(int(self._numbers[places[at]]), cosine)

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
        self._rows = resized(self._rows, rows, count)
        self._signs = np.ascontiguousarray(resized(self._signs.T, rows, count).T)
        self._norms = resized(self._norms, rows, count)
        self._numbers = resized(self._numbers, rows, count)


def resized(array: npt.NDArray[Any], rows: int, count: int) -> npt.NDArray[Any]:
    """Space for `rows`, of which the first `count` are those of `array`."""
    made = np.empty((rows, *array.shape[1:]), array.dtype)
    made[:count] = array[:count]
    return made


def _cosines(row: Rows, rows: Rows, norms: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """With each of the rows."""
    products = np.asarray(numkong.cdist(row[None, :], rows, metric="inner"))[0]
    cosines: npt.NDArray[np.float64] = products / (norms * max(norm(row), 1e-9))
    return cosines


def _best(cosines: npt.NDArray[np.float64], cosine_min: float, count_max: int) -> Iterator[tuple[int, float]]:
    """Places, the highest first, and cosines."""
    for at in np.argsort(-cosines)[:count_max]:
        if cosines[at] >= cosine_min:
            yield int(at), min(1.0, float(cosines[at]))


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
