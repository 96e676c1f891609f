"""While a vector is computed: reports, flushes, evictions; and what waits for a vector at all."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from meshgate_cache.answer_cache import Alike, Answer, AnswerCache, CacheRules, ToKeep
from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.entry import CacheEntry
from meshgate_cache.flights import Flights
from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.embedding import Embedding, EmbeddingLimits
from meshgate_cache.semantic.journal import LocalJournal
from meshgate_cache.semantic.model import (
    EmbeddingModel,
    OnnxModel,
    TextVectors,
    load_onnx_model,
    packaged_files,
)
from meshgate_cache.semantic.question import Question
from meshgate_cache.semantic.reading import read
from meshgate_cache.semantic.score import Threshold, threshold_for
from meshgate_cache.semantic.semantic_cache import SemanticCache, SemanticParts
from meshgate_cache.semantic.vectors import LocalVectors
from meshgate_cache.semantic.verifier import compare
from meshgate_cache.store import MemoryStore
from meshgate_chassis.tasks import TaskOwner
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.unit.cache.subject import chat
from tools.bench_cache_quality import scored_pair
from tools.semantic_pairs import held_out

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")

TENANT = "t"
CALL_S = 10.0
ENTRIES_MAX = 3


def pair_by_words(model: EmbeddingModel) -> tuple[str, str]:
    """Two questions that mean the same, where the vectors of the words of both decide."""
    for pair in held_out.paraphrases():
        a, b = read(pair.a), read(pair.b)
        first, second = model.embed([pair.a, pair.b])
        near = float(first.whole @ second.whole) >= 0.85
        if near and not compare(a, b).same and scored_pair(a, b, first, second) > threshold_for(0.005):
            return pair.a, pair.b
    raise AssertionError("there is no such pair")


@cache
def the_model() -> OnnxModel:
    files = packaged_files()
    assert files is not None
    return load_onnx_model(files)


STORED, ALIKE = ("", "") if packaged_files() is None else pair_by_words(the_model())


class Gated:
    """The packaged model; computes nothing for texts that are `held`, until they are let go."""

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._gates: dict[str, threading.Event] = {}
        self.begun: list[str] = []

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def dimensions(self) -> int:
        return self._model.dimensions

    def embed(self, texts: Sequence[str]) -> Sequence[TextVectors]:
        self.begun.extend(texts)
        for text in texts:
            assert self._gates.get(text, _OPEN).wait(20)
        return self._model.embed(texts)

    def hold(self, text: str) -> None:
        self._gates[text] = threading.Event()

    def let_go(self, text: str) -> None:
        self._gates[text].set()


_OPEN = threading.Event()
_OPEN.set()


@dataclass
class Subject:
    """A semantic cache in memory, whose model can be held."""

    cache: AnswerCache
    semantic: SemanticCache
    model: Gated
    clock: ManualClock

    def question(self, text: str) -> tuple[Question, str]:
        """And its key."""
        request = chat(text)
        question = self.cache.question(TENANT, "", request)
        assert question is not None
        return question, self.cache.key(TENANT, "", canonical_chat(request))

    async def keep(self, text: str) -> str:
        question, key = self.question(text)
        entry = CacheEntry(b"answer", self.clock.now_ns(), "d", 0)
        answer = Answer(entry, ["stop"], empty=False, ttl_s=60, question=question)
        assert [None] == await self.cache.keep([ToKeep(TENANT, key, "", answer)], CALL_S)
        return key

    async def look_up(self, text: str) -> Alike:
        question, key = self.question(text)
        return await self.cache.look_up_alike(question, key, "", None, CALL_S)

    async def begun(self, text: str) -> None:
        """Its vector is being computed."""

        async def is_begun() -> bool:
            return text in self.model.begun

        await eventually(is_begun, f"{text} is begun")

    def forget_vectors(self) -> None:
        """As on a replica that has just started: what is known is known, without the vectors of its words."""
        self.model.begun.clear()


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    model, clock, tasks = Gated(the_model()), ManualClock(), TaskOwner("flights", 10)
    # Nothing is kept: each vector is computed when it is needed.
    embedding = Embedding(model, EmbeddingLimits(kept_bytes_max=0, known_bytes_max=0))
    vectors = LocalVectors(embedding)
    directory = Directory(vectors.space, ENTRIES_MAX)
    journal = LocalJournal(directory.apply)
    parts = SemanticParts(embedding, vectors, 0.7, directory, journal, Threshold(0.01))
    semantic = SemanticCache(parts, 0.8, clock)
    store = MemoryStore(clock, bytes_max=1_000_000, entries_max=100)
    flights = Flights(store, tasks, clock, lambda: "token")
    yield Subject(
        AnswerCache(store, CacheRules(enabled=True), clock, flights, semantic), semantic, model, clock
    )
    await tasks.drain(0.0)
    embedding.close()


async def test_a_report_counts_for_lookups_that_are_under_way(subject: Subject) -> None:
    """It comes while the words of the known question are looked at."""
    source = await subject.keep(STORED)
    assert (await subject.look_up(ALIKE)).found is not None
    subject.forget_vectors()
    subject.model.hold(STORED)
    looking = asyncio.create_task(subject.look_up(ALIKE))
    await subject.begun(STORED)
    await subject.semantic.report(subject.cache.namespace(""), subject.question(ALIKE)[1], source, CALL_S)
    subject.model.let_go(STORED)

    assert (await looking).found is None
    assert (await subject.look_up(ALIKE)).found is None


@pytest.mark.parametrize("held", [ALIKE, STORED])
@pytest.mark.parametrize("tenant", [TENANT, ""])
async def test_what_was_flushed_meanwhile_is_not_given(subject: Subject, held: str, tenant: str) -> None:
    """Before what is near was looked for, and after."""
    await subject.keep(STORED)
    subject.forget_vectors()
    subject.model.hold(held)
    looking = asyncio.create_task(subject.look_up(ALIKE))
    await subject.begun(held)
    assert 1 == await subject.cache.delete(tenant, "", [], CALL_S)
    subject.model.let_go(held)

    assert (await looking).found is None
    assert 0 == len(subject.semantic.directory)


async def test_what_was_evicted_meanwhile_harms_nobody(subject: Subject) -> None:
    """Its number is another question's by then: the answer is still its own."""
    source = await subject.keep(STORED)
    subject.forget_vectors()
    subject.model.hold(STORED)
    looking = asyncio.create_task(subject.look_up(ALIKE))
    await subject.begun(STORED)
    others = [asyncio.create_task(subject.keep(f"How do I boil {n} eggs?")) for n in range(ENTRIES_MAX)]
    subject.model.let_go(STORED)
    await asyncio.gather(*others)

    found = (await looking).found
    assert found is not None and source == found.source_key
    assert not subject.semantic.directory.knows(source)


async def test_a_miss_in_a_new_context_waits_for_no_vector(subject: Subject) -> None:
    """It is computed for the answer, which is then offered to others."""
    subject.model.hold(STORED)
    assert (await subject.look_up(STORED)).found is None
    await subject.begun(STORED)
    subject.model.let_go(STORED)
    await subject.keep(STORED)

    assert (await subject.look_up(ALIKE)).found is not None


async def test_a_vector_is_begun_while_the_store_is_asked(subject: Subject) -> None:
    """Only if the store takes time, something can be compared with, and no answer is known to be there."""
    stored, key = subject.question(STORED)
    alike, other_key = subject.question(ALIKE)

    async def begun(question: Question, key: str, turns: int) -> list[str]:
        subject.model.begun.clear()
        with subject.cache.expecting(question, key):
            for _ in range(turns):
                await asyncio.sleep(0)
        await subject.look_up("Who wrote Hamlet?")  # what was begun before is done by now
        return [text for text in subject.model.begun if text in (STORED, ALIKE)]

    assert [] == await begun(alike, other_key, turns=1), "nothing is known"
    await subject.keep(STORED)
    assert [ALIKE] == await begun(alike, other_key, turns=1)
    assert [] == await begun(alike, other_key, turns=0), "the store answered, or failed, at once"
    assert [] == await begun(stored, key, turns=1), "its answer is known"
