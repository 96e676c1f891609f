"""The questions this replica knows, in memory: what the events of all replicas amount to.

Invariants: a search sees one context only, so one tenant; bounded, the least used question goes first; a pair
that was reported is never found again; applying an event twice is the same as once.
"""

import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from meshgate_cache.semantic.events import Cleared, Event, Forgotten, Learned, Reported
from meshgate_cache.semantic.nearest import BYTES_MAX, NearestVectors
from meshgate_cache.semantic.vectors import Placed, Space

NEIGHBOURS_MAX: Final = 5
REPORTS_MAX: Final = 100_000
MODELS_MAX: Final = 16  # a public name that stands for more at a time is no name for vectors


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


class Directory:
    """See the module. `space`: vectors of others are not comparable, and are ignored."""

    def __init__(self, space: Space, entries_max: int, bytes_max: int = BYTES_MAX) -> None:
        self._space = space
        self._models: OrderedDict[str, None] = OrderedDict()  # of the space, as they were seen
        self._vectors = NearestVectors(entries_max, bytes_max)
        self._known: dict[str, Known] = {}
        self._wrong: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._counts: defaultdict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._known)

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
                for key in list(self._of(event.namespace, event.tenant_digest)):
                    self.forget(key)
            case Reported():
                self._wrong[_pair(event.first_key, event.second_key)] = None
                while len(self._wrong) > REPORTS_MAX:
                    self._wrong.popitem(last=False)

    def has(self, context: bytes) -> bool:
        """Whether anything is known in a context, by any model of the space."""
        return any(self._vectors.has(_partition(context, model)) for model in self._models)

    def knows(self, key: str) -> bool:
        """Whether a question with the answer of `key` is known."""
        return key in self._known

    def search(self, context: bytes, placed: Placed, cosine_min: float, now_ns: int) -> list[Near]:
        """The nearest live questions first, NEIGHBOURS_MAX at most; expired ones that are met are dropped."""
        partition = _partition(context, placed.model)
        while True:
            found = self._vectors.search(partition, placed.vector, cosine_min, NEIGHBOURS_MAX)
            expired = [near.name for near in found if self._known[near.name].expires_ns <= now_ns]
            if not expired:
                return [Near(self._known[near.name], near.cosine) for near in found]
            for key in expired:
                self.forget(key)

    def is_wrong(self, first_key: str, second_key: str) -> bool:
        """Whether the pair was reported."""
        return _pair(first_key, second_key) in self._wrong

    def used(self, key: str) -> None:
        """An answer was served: it stays longer than others."""
        self._vectors.used(key)

    def forget(self, key: str) -> None:
        """Without effect when it is not known."""
        known = self._known.pop(key, None)
        if known is not None:
            self._vectors.remove(key)
            self._counts[known.namespace] -= 1
            if not self._counts[known.namespace]:
                del self._counts[known.namespace]

    def _learn(self, event: Learned) -> None:
        if not self._space.has(event.model, len(event.row)):
            return
        self.forget(event.key)
        self._models[event.model] = None
        while len(self._models) > MODELS_MAX:
            self._models.popitem(last=False)
        row = np.frombuffer(event.row, dtype=np.int8)
        for gone in self._vectors.add_row(_partition(event.context, event.model), event.key, row):
            self.forget(gone)
        namespace = sys.intern(event.namespace)  # the same in thousands of events
        self._known[event.key] = Known(event.key, namespace, event.text, event.expires_ns)
        self._counts[namespace] += 1

    def _of(self, namespace: str, tenant_digest: str) -> Iterator[str]:
        for key, known in self._known.items():
            if namespace in ("", known.namespace) and key.startswith(tenant_digest):
                yield key


def _partition(context: bytes, model: str) -> bytes:
    return context + model.encode()


def _pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first <= second else (second, first)
