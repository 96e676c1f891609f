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
from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.embedding import Embedding
from meshgate_cache.semantic.events import Cleared, Forgotten, Learned, Reported
from meshgate_cache.semantic.journal import Journal
from meshgate_cache.semantic.nearest import quantised
from meshgate_cache.semantic.question import Question
from meshgate_cache.semantic.reading import read
from meshgate_cache.semantic.score import Threshold, score
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
class SemanticParts:
    """What it stands on."""

    embedding: Embedding
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
        return self._parts.embedding.model_name

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

    async def find(self, question: Question, key: str) -> list[Match]:
        """The nearest answer that may serve the question asked under `key`; empty when there is none."""
        vectors = await self._parts.embedding.of(question.text)
        directory = self._parts.directory
        near = directory.search(question.context, vectors.whole, self._similarity_min, self._clock.now_ns())
        if not near:
            return []
        asked, threshold, aligned_count = read(question.text), self._parts.threshold.value, 0
        for found in near:
            if directory.is_wrong(key, found.known.key):
                continue
            facts = read(found.known.text)
            verdict = compare(asked, facts)
            value = score(asked, facts, verdict, found.cosine, PERFECT)  # the best it could be
            if value >= threshold and not verdict.same:
                if aligned_count == ALIGNED_MAX:
                    break
                aligned_count += 1
                known = await self._parts.embedding.of(found.known.text)
                alignment = aligned(vectors.words, known.words)
                value = score(asked, facts, verdict, found.cosine, alignment)
            if value >= threshold:
                return [Match(found.known.key, found.cosine, value)]
        return []

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
        """An answer to the question was stored under `key`."""
        vectors = await self._parts.embedding.of(question.text)
        event = Learned(
            key=key,
            namespace=namespace,
            context=question.context,
            text=question.text,
            model=self.model_name,
            row=quantised(vectors.whole).tobytes(),
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

    async def report(self, namespace: str, key: str, source_key: str, remaining_s: float) -> None:
        """The answer of `source_key` was wrong for the question of `key`."""
        self._parts.threshold.reported()
        await self._parts.journal.publish(Reported(namespace, key, source_key), remaining_s)
