"""Answers to questions that mean the same: find one, learn one, unlearn one.

One decision in steps that can each only say no: the same context, near vectors, no differing fact, a score
above the threshold in use, not reported as wrong. What it finds are keys; whether there still is an answer
under them is the store's to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_cache.keys import tenant_digest
from meshgate_cache.semantic.alignment import PERFECT, aligned
from meshgate_cache.semantic.directory import Directory, Near
from meshgate_cache.semantic.embedding import Embedding
from meshgate_cache.semantic.events import Cleared, Forgotten, Learned, Reported
from meshgate_cache.semantic.journal import Journal
from meshgate_cache.semantic.nearest import quantised
from meshgate_cache.semantic.question import Question
from meshgate_cache.semantic.reading import read
from meshgate_cache.semantic.score import Threshold, score
from meshgate_cache.semantic.vectors import VectorSource, cosine
from meshgate_cache.semantic.verifier import compare
from meshgate_chassis.clock import Clock

ALIGNED_MAX: Final = 3  # known questions whose words are looked at for one that is asked


@dataclass(frozen=True, slots=True)
class Match:
    """A stored answer that may serve. `cosine`: what clients see as similarity; `score`: what decided."""

    key: str
    cosine: float
    score: float


@dataclass(frozen=True, slots=True)
class Sought:
    """What may serve, the nearest first. `placed` False: the question's vector is missing."""

    matches: list[Match]
    placed: bool = True


@dataclass(frozen=True, slots=True)
class SemanticParts:
    """What it stands on. `embedding`: of the model that the score was fitted with; `vectors`: what finds.
    `local_min`: by the former, what another model found must be at least so near."""

    embedding: Embedding
    vectors: VectorSource
    local_min: float
    directory: Directory
    journal: Journal
    threshold: Threshold


class SemanticCache:
    """See the module. Errors of embedding and journal leave as they are: RESOURCE_EXHAUSTED, UNAVAILABLE."""

    def __init__(self, parts: SemanticParts, similarity_min: float, clock: Clock) -> None:
        self._parts = parts
        self._similarity_min = similarity_min
        self._clock = clock

    @property
    def model_name(self) -> str:
        """Whose vectors are compared."""
        return self._parts.vectors.space.name

    @property
    def ask_for(self) -> str:
        """The model of the configuration that gives the vectors that are missing; empty: none is."""
        return self._parts.vectors.ask_for

    def comparable(self, question: Question) -> bool:
        """Whether there is anything that the question may be compared with."""
        return self._parts.directory.has(question.context)

    @property
    def similarity_min(self) -> float:
        """Floor of the cosine, whatever the score says."""
        return self._similarity_min

    @property
    def threshold(self) -> Threshold:
        """Of the score."""
        return self._parts.threshold

    @property
    def directory(self) -> Directory:
        """What is known here."""
        return self._parts.directory

    def expect(self, question: Question, key: str) -> None:
        """`find` will be called soon, unless there is an answer under `key`: its vector is begun with, if it
        is wanted then. When there was an answer as far as is known here, it is not."""
        if not self.ask_for and self.comparable(question) and not self._parts.directory.knows(key):
            self._parts.embedding.expect(question.text)

    async def find(self, question: Question, key: str, namespace: str, remaining_s: float) -> Sought:
        """The nearest answer that may serve the question asked under `key`."""
        if not self.ask_for and not self.comparable(question):
            self._parts.embedding.expect(question.text)  # for its answer, which may be stored soon
            return Sought([])
        placed = await self._parts.vectors.of(question, namespace, remaining_s)
        if placed is None:
            return Sought([], placed=False)
        near = self._parts.directory.search(
            question.context, placed, self._similarity_min, self._clock.now_ns()
        )
        match = await self._first(question, key, near) if near else None
        return Sought([] if match is None else [match])

    async def _first(self, question: Question, key: str, near: Sequence[Near]) -> Match | None:
        """The first that passes. Whatever model found them, the score sees the one it was fitted with."""
        asked, threshold, aligned_count = read(question.text), self._parts.threshold.value, 0
        fitted = not self.ask_for  # the cosine that found them is that of the score
        vectors = await self._parts.embedding.of(question.text)
        for found in near:
            if self._parts.directory.is_wrong(key, found.known.key):
                continue
            facts = read(found.known.text)
            verdict = compare(asked, facts)
            # The best it could be.
            value = score(asked, facts, verdict, found.cosine if fitted else 1.0, PERFECT)
            if value >= threshold and not (verdict.same and fitted):
                if aligned_count == ALIGNED_MAX:
                    break
                aligned_count += 1
                known = await self._parts.embedding.of_known(found.known.text)
                near_by_fit = found.cosine if fitted else cosine(vectors.whole, known.whole)
                if not fitted and near_by_fit < self._parts.local_min:
                    continue
                value = score(asked, facts, verdict, near_by_fit, aligned(vectors.words, known.words))
            # It may have been reported while vectors were computed.
            if value >= threshold and not self._parts.directory.is_wrong(key, found.known.key):
                return Match(found.known.key, found.cosine, value)
        return None

    async def is_placed(self, question: Question, namespace: str, remaining_s: float) -> bool:
        """Whether its vector is known here. Raises RESOURCE_EXHAUSTED."""
        return not self.ask_for or await self._parts.vectors.of(question, namespace, remaining_s) is not None

    async def keep_vector(self, question: Question, namespace: str, remaining_s: float) -> None:
        """Remembers the vector that came with a question. Never an error."""
        await self._parts.vectors.keep(question, namespace, remaining_s)

    def served(self, match: Match) -> None:
        """An answer that was found has been given."""
        self._parts.directory.used(match.key)
        self._parts.threshold.hit()

    def gone(self, match: Match) -> None:
        """There was no answer under the key any more."""
        self._parts.directory.forget(match.key)

    async def learn(
        self, question: Question, key: str, namespace: str, ttl_s: float, remaining_s: float
    ) -> None:
        """An answer to the question was stored under `key`. Without a vector nobody learns of it."""
        placed = await self._parts.vectors.of(question, namespace, remaining_s)
        if placed is None:
            return
        await self._parts.vectors.keep(question, namespace, remaining_s)
        event = Learned(
            key=key,
            namespace=namespace,
            context=question.context,
            text=question.text,
            model=placed.model,
            row=quantised(placed.vector).tobytes(),
            expires_ns=self._clock.now_ns() + int(ttl_s * 1e9),
        )
        await self._parts.journal.publish(event, remaining_s)

    async def forget(self, namespace: str, keys: Sequence[str], remaining_s: float) -> None:
        """Answers were deleted."""
        await self._parts.journal.publish(Forgotten(namespace, tuple(keys)), remaining_s)

    async def clear(self, namespace: str, tenant_id: str, remaining_s: float) -> None:
        """A namespace was cleared; for one tenant, or for all when `tenant_id` is empty."""
        digest = tenant_digest(tenant_id) if tenant_id else ""
        await self._parts.journal.publish(Cleared(namespace, digest), remaining_s)

    async def clear_all(self, remaining_s: float) -> None:
        """All namespaces were cleared."""
        await self._parts.journal.publish(Cleared("", ""), remaining_s)

    async def report(self, namespace: str, key: str, source_key: str, remaining_s: float) -> None:
        """The answer of `source_key` was wrong for the question of `key`."""
        self._parts.threshold.reported()
        await self._parts.journal.publish(Reported(namespace, key, source_key), remaining_s)
