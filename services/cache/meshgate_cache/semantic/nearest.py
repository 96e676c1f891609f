"""The nearest of many unit vectors, in partitions that never see each other. Memory only.

Vectors are kept as int8 (one scale for all: components of unit vectors), a quarter of float32, and compared
exactly, all of a partition: at 100,000 that takes a few milliseconds, and there is no index that forgets.

Invariants: a search sees one partition only; no more than `entries_max` entries; the least recently used one
goes first; rows of a partition are dense.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numkong
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int8]

FIRST_ROWS: Final = 2


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`cosine`: within 0.01 of the exact one."""

    name: str
    cosine: float


class NearestVectors:
    """Names with their vectors, by partition."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._partition_of: OrderedDict[str, bytes] = OrderedDict()  # least recently used first
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
        while len(self._partition_of) >= self._entries_max:
            oldest = next(iter(self._partition_of))
            self.remove(oldest)
            gone.append(oldest)
        self._partition_of[name] = partition
        self._partitions.setdefault(partition, _Partition(len(row))).add(name, row)
        return gone

    def remove(self, name: str) -> bool:
        """True when it was there."""
        partition = self._partition_of.pop(name, None)
        if partition is None:
            return False
        rows = self._partitions[partition]
        rows.remove(name)
        if not rows.count:
            del self._partitions[partition]
        return True

    def used(self, name: str) -> None:
        """Keeps it longer than those that are not used."""
        if name in self._partition_of:
            self._partition_of.move_to_end(name)

    def search(self, partition: bytes, vector: Vector, cosine_min: float, count_max: int) -> list[Neighbour]:
        """The nearest first."""
        rows = self._partitions.get(partition)
        return [] if rows is None else list(rows.search(quantised(vector), cosine_min, count_max))


class _Partition:
    """Dense rows that grow by doubling."""

    def __init__(self, dimensions: int) -> None:
        self._rows: Rows = np.empty((FIRST_ROWS, dimensions), dtype=np.int8)
        self._norms = np.empty(FIRST_ROWS, dtype=np.float32)
        self._names: list[str] = []
        self._row_of: dict[str, int] = {}

    @property
    def count(self) -> int:
        return len(self._names)

    @property
    def size_bytes(self) -> int:
        return int(self._rows.nbytes + self._norms.nbytes)

    def add(self, name: str, row: Rows) -> None:
        at = len(self._names)
        if at == len(self._rows):
            self._resize(2 * at)
        self._rows[at], self._norms[at] = row, norm(row)
        self._names.append(name)
        self._row_of[name] = at

    def remove(self, name: str) -> None:
        """The last row takes its place."""
        at, last_name = self._row_of.pop(name), self._names.pop()
        if last_name != name:
            last = len(self._names)
            self._rows[at], self._norms[at] = self._rows[last], self._norms[last]
            self._names[at] = last_name
            self._row_of[last_name] = at
        if FIRST_ROWS <= 4 * len(self._names) < len(self._rows):
            self._resize(len(self._rows) // 2)

    def search(self, row: Rows, cosine_min: float, count_max: int) -> Iterator[Neighbour]:
        products = np.asarray(numkong.cdist(row[None, :], self._rows[: self.count], metric="inner"))[0]
        cosines = products / (self._norms[: self.count] * max(norm(row), 1e-9))
        if self.count > count_max:
            best: npt.NDArray[Any] = np.argpartition(cosines, -count_max)[-count_max:]
        else:
            best = np.arange(self.count)
        for at in sorted(best, key=lambda at: -cosines[at]):
            if cosines[at] >= cosine_min:
                yield Neighbour(self._names[at], min(1.0, float(cosines[at])))

    def _resize(self, rows: int) -> None:
        kept = min(rows, self.count)
        resized, norms = np.empty((rows, self._rows.shape[1]), np.int8), np.empty(rows, np.float32)
        resized[:kept], norms[:kept] = self._rows[:kept], self._norms[:kept]
        self._rows, self._norms = resized, norms


def quantised(vector: Vector) -> Rows:
    """127 for the largest component; the direction is kept, the length is not."""
    largest = float(np.abs(vector).max(initial=0.0))
    row: Rows = np.rint(vector * (127.0 / max(largest, 1e-9))).astype(np.int8)
    return row


def norm(row: Rows) -> float:
    """Euclidean length."""
    return float(np.linalg.norm(row.astype(np.float32)))
