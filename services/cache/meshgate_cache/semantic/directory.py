"""The questions this replica knows, in memory: what the events of all replicas amount to.

There may be very many, so a question has a number and is spread over arrays; the objects of its own are its
key and its text (docs/semantic-cache.md tells what one takes).

Invariants: a search sees one context only, so one tenant; bounded in number and in bytes, the least used
question goes first; a pair that was reported is never found again; applying an event twice is the same as
once.
"""

import hashlib
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from meshgate_cache.semantic.events import Cleared, Event, Forgotten, Learned, Reported
from meshgate_cache.semantic.nearest import NearestVectors, resized, row_bytes
from meshgate_cache.semantic.vectors import Placed, Space

NEIGHBOURS_MAX: Final = 5
REPORTS_MAX: Final = 100_000
MODELS_MAX: Final = 16  # a public name that stands for more at a time is no name for vectors
BYTES_MAX: Final = 512 * 1024 * 1024
OLDEST_MAX: Final = 256  # that are looked up at once
FIRST_ROWS: Final = 16
KEY_BYTES: Final = 32
NEVER_NS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Known:
    """A question with an answer; `key` is the answer's."""

    key: str
    namespace: str
    text: str
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Near:
    """A known question and its cosine to the one asked."""

    known: Known
    cosine: float


class _Facts:
    """What is known of questions besides, by number; grows by doubling."""

    def __init__(self) -> None:
        self.expires_ns = np.zeros(FIRST_ROWS, dtype=np.int64)
        self.used = np.zeros(FIRST_ROWS, dtype=np.int64)  # a count that rises; 0: the number is free
        self.size_bytes = np.zeros(FIRST_ROWS, dtype=np.int32)

    def make_room(self, number: int) -> None:
        count = len(self.used)
        if number < count:
            return
        self.expires_ns = resized(self.expires_ns, 2 * count, count)
        self.size_bytes = resized(self.size_bytes, 2 * count, count)
        self.used = resized(self.used, 2 * count, count)
        self.used[count:] = 0

    def oldest(self, count: int) -> Iterator[tuple[int, int]]:
        """(number, `used`) of so many that were used longest ago, the oldest first."""
        taken = np.flatnonzero(self.used)
        used = self.used[taken]
        if count < len(taken):
            some = np.argpartition(used, count)[:count]
            taken, used = taken[some], used[some]
        for at in np.argsort(used):
            yield int(taken[at]), int(used[at])


class Directory:
    """See the module. `space`: vectors of others are not comparable, and are ignored. `bytes_max`: of vectors
    and texts."""

    def __init__(self, space: Space, entries_max: int, bytes_max: int = BYTES_MAX) -> None:
        self._space = space
        self._entries_max, self._bytes_max = entries_max, bytes_max
        self._models: OrderedDict[str, None] = OrderedDict()  # of the space, as they were seen
        self._vectors = NearestVectors()
        self._number_of: dict[bytes, int] = {}  # by key
        # By number; nothing where a number is free.
        self._keys: list[bytes] = []
        self._texts: list[str] = []
        self._namespaces: list[str] = []
        self._facts = _Facts()
        self._free: list[int] = []
        self._oldest: deque[tuple[int, int]] = deque()
        self._use_count = 0
        self._bytes = 0
        self._wrong: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._counts: defaultdict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._number_of)

    @property
    def size_bytes(self) -> int:
        """Of the vectors."""
        return self._vectors.size_bytes

    def count_in(self, namespace: str) -> int:
        """Questions of a namespace."""
        return self._counts.get(namespace, 0)

    def apply(self, event: Event) -> None:
        """Takes notice of what happened here or on another replica."""
        match event:
            case Learned():
                self._learn(event)
            case Forgotten():
                for key in event.keys:
                    self.forget(key)
            case Cleared():
                for number in list(self._of(event.namespace, event.tenant_digest)):
                    self._forget(number)
            case Reported():
                self._wrong[_pair(event.first_key, event.second_key)] = None
                while len(self._wrong) > REPORTS_MAX:
                    self._wrong.popitem(last=False)

    def has(self, context: bytes) -> bool:
        """Whether anything is known in a context, by any model of the space."""
        return any(self._vectors.has(_partition(context, model)) for model in self._models)

    def knows(self, key: str) -> bool:
        """Whether a question with the answer of `key` is known."""
        return _packed(key) in self._number_of

    def search(self, context: bytes, placed: Placed, cosine_min: float, now_ns: int) -> list[Near]:
        """The nearest live questions first, NEIGHBOURS_MAX at most; expired ones that are met are dropped."""
        partition = _partition(context, placed.model)
        while True:
            found = self._vectors.search(partition, placed.vector, cosine_min, NEIGHBOURS_MAX)
            expired = [near.number for near in found if self._facts.expires_ns[near.number] <= now_ns]
            if not expired:
                return [Near(self._known(near.number), near.cosine) for near in found]
            for number in expired:
                self._forget(number)

    def is_wrong(self, first_key: str, second_key: str) -> bool:
        """Whether the pair was reported."""
        return _pair(first_key, second_key) in self._wrong

    def used(self, key: str) -> None:
        """An answer was served: it stays longer than others."""
        number = self._number_of.get(_packed(key))
        if number is not None:
            self._use(number)

    def forget(self, key: str) -> None:
        """Without effect when it is not known."""
        number = self._number_of.get(_packed(key))
        if number is not None:
            self._forget(number)

    def _known(self, number: int) -> Known:
        expires_ns = int(self._facts.expires_ns[number])
        return Known(self._keys[number].hex(), self._namespaces[number], self._texts[number], expires_ns)

    def _use(self, number: int) -> None:
        self._use_count += 1
        self._facts.used[number] = self._use_count

    def _forget(self, number: int) -> None:
        self._vectors.remove(number)
        del self._number_of[self._keys[number]]
        namespace = self._namespaces[number]
        self._counts[namespace] -= 1
        if not self._counts[namespace]:
            del self._counts[namespace]
        self._keys[number], self._texts[number], self._namespaces[number] = b"", "", ""
        self._facts.used[number] = 0
        self._bytes -= int(self._facts.size_bytes[number])
        self._free.append(number)

    def _learn(self, event: Learned) -> None:
        key = _packed(event.key)
        if not key or not self._space.has(event.model, len(event.row)):
            return
        self.forget(event.key)
        self._models[event.model] = None
        while len(self._models) > MODELS_MAX:
            self._models.popitem(last=False)
        size = row_bytes(len(event.row)) + sys.getsizeof(event.text)
        while self._number_of and not self._fits(size):
            self._forget_oldest()
        number = self._take_number(key, sys.intern(event.namespace), event.text)
        self._facts.expires_ns[number] = min(event.expires_ns, NEVER_NS)
        self._facts.size_bytes[number] = size
        self._use(number)
        self._bytes += size
        row = np.frombuffer(event.row, dtype=np.int8)
        self._vectors.add_row(_partition(event.context, event.model), number, row)

    def _fits(self, size: int) -> bool:
        return len(self._number_of) < self._entries_max and self._bytes + size <= self._bytes_max

    def _forget_oldest(self) -> None:
        """Some are looked up at once; which of them were used since, or have gone, is seen when it is due."""
        while True:
            if not self._oldest:
                self._oldest.extend(self._facts.oldest(min(OLDEST_MAX, max(1, len(self) // 100))))
            number, used = self._oldest.popleft()
            if self._facts.used[number] == used:
                self._forget(number)
                return

    def _take_number(self, key: bytes, namespace: str, text: str) -> int:
        if self._free:
            number = self._free.pop()
            self._keys[number], self._texts[number], self._namespaces[number] = key, text, namespace
        else:
            number = len(self._keys)
            self._keys.append(key)
            self._texts.append(text)
            self._namespaces.append(namespace)
            self._facts.make_room(number)
        self._number_of[key] = number
        self._counts[namespace] += 1
        return number

    def _of(self, namespace: str, tenant_digest: str) -> Iterator[int]:
        """Numbers."""
        tenant = _unhex(tenant_digest)
        if tenant is None:
            return
        for key, number in self._number_of.items():
            if key.startswith(tenant) and namespace in ("", self._namespaces[number]):
                yield number


def _packed(key: str) -> bytes:
    """Half the size; empty for what is no key."""
    packed = _unhex(key)
    return packed if packed is not None and len(packed) == KEY_BYTES else b""


def _unhex(digits: str) -> bytes | None:
    try:
        return bytes.fromhex(digits)
    except ValueError:  # what others wrote into the stream
        return None


@lru_cache(MODELS_MAX)
def _of_model(model: str) -> bytes:
    return hashlib.sha256(model.encode()).digest()[:16]


def _partition(context: bytes, model: str) -> bytes:
    """A context, and a digest of the model: names are long, and contexts are many."""
    return context + _of_model(model)


def _pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first <= second else (second, first)
