"""Where the vectors that find like questions come from: the local model, or a model of the configuration.

The cache calls no provider: who asks gets the vector of a text from the router, once, and hands it over. It
is kept beside the answers, under the tenant, so that no replica asks for it again.

Invariants: vectors of two models, or of two lengths, never share a name; a vector is found only by the tenant
whose text it is of; what the store does not tell is only not known.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import structlog

from meshgate_cache import keys
from meshgate_cache.entry import CacheEntry
from meshgate_cache.semantic.embedding import Embedding
from meshgate_cache.semantic.nearest import Vector, quantised
from meshgate_cache.semantic.question import Question
from meshgate_cache.store import Store
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError

log = structlog.get_logger("meshgate.cache.semantic")

SMALLEST: Final = 1e-6  # of the largest component: what is below has no direction
KEPT_S: Final = 86_400.0  # a vector does not age; a text that nobody asks any more does


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors that can be compared. `dimensions` None: `name` begins the names of several, one for each model
    and length that were seen."""

    name: str
    dimensions: int | None = None

    def has(self, model: str, dimensions: int) -> bool:
        """Whether a vector of this model and length belongs here."""
        if self.dimensions is not None:
            return model == self.name and dimensions == self.dimensions
        return model.startswith(self.name) and model.endswith(f"#{dimensions}")


@dataclass(frozen=True, slots=True)
class Placed:
    """The vector of a question, of any length above 0."""

    model: str
    vector: Vector


class VectorSource(Protocol):
    """Knows vectors of questions."""

    @property
    def space(self) -> Space:
        """Of all of them."""

    @property
    def ask_for(self) -> str:
        """The model of the configuration that gives what is not known here; empty: all is known."""

    async def of(self, question: Question, namespace: str, remaining_s: float) -> Placed | None:
        """None: only the caller can get it. Raises RESOURCE_EXHAUSTED."""

    async def keep(self, question: Question, namespace: str, remaining_s: float) -> None:
        """Remembers the vector that came with the question, if one did. Never an error."""


class LocalVectors:
    """Of the model in this process."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    @property
    def space(self) -> Space:
        return Space(self._embedding.model_name, self._embedding.dimensions)

    @property
    def ask_for(self) -> str:
        return ""

    async def of(
        self,
        question: Question,
        namespace: str,  # noqa: ARG002 - it needs no other replica's
        remaining_s: float,  # noqa: ARG002
    ) -> Placed | None:
        return Placed(self._embedding.model_name, (await self._embedding.of(question.text)).whole)

    async def keep(self, question: Question, namespace: str, remaining_s: float) -> None:
        """It can be computed again."""


class RoutedVectors:
    """Of a model of the configuration. `version` differs when the same public name means other models."""

    def __init__(self, store: Store, model: str, version: str, clock: Clock) -> None:
        self._store = store
        self._model = model
        self._space = Space(f"{model}@{version}/")
        self._clock = clock

    @property
    def space(self) -> Space:
        return self._space

    @property
    def ask_for(self) -> str:
        return self._model

    async def of(self, question: Question, namespace: str, remaining_s: float) -> Placed | None:
        if question.vector:
            return self._placed(question)
        try:
            entry = await self._store.get(self._key(question, namespace), remaining_s)
        except MeshError as error:
            log.info("vector not looked up", cause=error.reason)
            return None
        if entry is None or not self._space.has(entry.deployment_id, len(entry.response)):
            return None
        return Placed(entry.deployment_id, np.frombuffer(entry.response, dtype=np.int8).astype(np.float32))

    async def keep(self, question: Question, namespace: str, remaining_s: float) -> None:
        placed = self._placed(question) if question.vector else None
        if placed is None:
            return
        row = quantised(placed.vector).tobytes()
        entry = CacheEntry(row, self._clock.now_ns(), placed.model, 0)
        try:
            await self._store.put(self._key(question, namespace), entry, KEPT_S, remaining_s)
        except MeshError as error:
            log.info("vector not kept", cause=error.reason)

    def _placed(self, question: Question) -> Placed | None:
        """None for numbers that no model gives."""
        vector = np.frombuffer(question.vector, dtype="<f4").astype(np.float32)
        if not np.isfinite(vector).all() or float(np.abs(vector).max(initial=0.0)) < SMALLEST:
            return None
        return Placed(f"{self._space.name}{question.vector_model}#{len(vector)}", vector)

    def _key(self, question: Question, namespace: str) -> str:
        digest = keys.vector_key(question.tenant_digest, namespace, self._space.name, question.text)
        return keys.store_key(namespace, digest)


def cosine(a: Vector, b: Vector) -> float:
    """Of vectors of length 1."""
    return min(1.0, float(a @ b))
