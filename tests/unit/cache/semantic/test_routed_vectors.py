"""Questions found by vectors that the caller brings: the contract of LookupAlike and LearnQuestion."""

import struct
from dataclasses import replace
from typing import Any

import pytest

from meshgate_cache.semantic.model import packaged_files
from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.errors import MeshError
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from tests.support.eventually import eventually
from tests.unit.cache.semantic.test_semantic_service import shared
from tests.unit.cache.subject import TIMEOUT_S, Start, Subject, answer, chat

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")

CONFIG = CacheConfig(enabled=True, semantic=True, embedding_model="e")
LIMITS = {"lookup_timeout_s": 5.0, "store_timeout_s": 5.0}
CAPITAL = "What is the capital of France?"
CAPITAL_CITY = "What is the capital city of France?"
TRAP = "What is the capital of Spain?"
FIRST, NEAR, FAR = (1.0, 0.0, 0.2), (1.0, 0.1, 0.2), (-1.0, 0.5, 0.0)


def vector(*numbers: float, model: str = "m") -> pb.Vector:
    return pb.Vector(values=struct.pack(f"<{len(numbers)}f", *numbers), model=model)


async def keep(subject: Subject, text: str, brought: pb.Vector | None, tenant: str = "a") -> str:
    """Stores an answer as the edge does; returns its key."""
    missed = await subject.look_up(chat(text), tenant)
    if brought is not None:
        missed.question.vector.CopyFrom(brought)
    store = pb.StoreEntryRequest(
        tenant_id=tenant,
        cache_key=missed.cache_key,
        entry=pb.Entry(response=answer("Paris.")),
        question=missed.question,
    )
    await subject.client.store_entry(store, timeout_s=TIMEOUT_S)
    return str(missed.cache_key)


async def alike(
    subject: Subject, text: str, brought: pb.Vector, tenant: str = "a", **members: Any
) -> pb.Entry | None:
    """As the edge does after a lookup that wants a vector."""
    missed = await subject.look_up(chat(text), tenant)
    missed.question.vector.CopyFrom(brought)
    request = pb.LookupAlikeRequest(
        tenant_id=tenant, cache_key=missed.cache_key, question=missed.question, **members
    )
    found = await subject.client.lookup_alike(request, timeout_s=TIMEOUT_S)
    return found.entry if found.HasField("entry") else None


async def test_a_lookup_tells_which_vector_it_wants(start_cache: Start) -> None:
    """And whether there is anything to compare with; what is known is not asked for again."""
    subject = await start_cache(CONFIG)
    first = (await subject.look_up(chat(CAPITAL))).question
    key = await keep(subject, CAPITAL, vector(*FIRST))
    second = (await subject.look_up(chat(CAPITAL_CITY))).question
    no_cache = (await subject.look_up(chat(CAPITAL_CITY), key_only=True)).question
    found = await alike(subject, CAPITAL_CITY, vector(*NEAR))
    again = await subject.look_up(chat(CAPITAL_CITY))

    assert [("e", False), ("e", True), ("e", False)] == [
        (each.embedding_model, each.comparable) for each in (first, second, no_cache)
    ]
    assert found is not None and (key, 0.995) == (found.source_key, round(found.similarity, 3))
    assert (key, False) == (again.entry.source_key, again.HasField("question"))
    status = await subject.status()
    assert ("e@", 1, 2, 2) == (
        status.semantic.model[:2],
        status.semantic.question_count,
        status.hit_count,
        status.miss_count,
    )


@pytest.mark.parametrize(
    ("text", "brought"),
    [
        (TRAP, vector(*FIRST)),  # as near as can be, but another fact
        (
            "How do I bake bread?",
            vector(*NEAR),
        ),  # near by that model only
        (CAPITAL_CITY, vector(*FAR)),  # the other way round
        (CAPITAL_CITY, vector(*FIRST, model="other")),
        (CAPITAL_CITY, vector(*FIRST, 0.0)),
        (CAPITAL_CITY, vector(0.0, 0.0, 0.0)),
        (CAPITAL_CITY, vector(float("nan"), 0.0, 1.0)),
        (CAPITAL_CITY, vector(float("inf"), 0.0, 1.0)),
    ],
)
async def test_what_is_never_a_hit(start_cache: Start, text: str, brought: pb.Vector) -> None:
    """Neither the vector alone nor the score alone; never vectors of two models or lengths."""
    subject = await start_cache(CONFIG)
    await keep(subject, CAPITAL, vector(*FIRST))

    assert await alike(subject, text, brought) is None
    assert await alike(subject, CAPITAL_CITY, vector(*NEAR)) is not None


async def test_other_tenants_find_nothing(start_cache: Start) -> None:
    """Neither answers nor vectors; the context of another is refused."""
    subject = await start_cache(CONFIG)
    await keep(subject, CAPITAL, vector(*FIRST))
    await alike(subject, CAPITAL_CITY, vector(*NEAR))

    other = (await subject.look_up(chat(CAPITAL_CITY), "b")).question
    assert ("e", False) == (other.embedding_model, other.comparable)
    assert await alike(subject, CAPITAL_CITY, vector(*NEAR), "b") is None
    mine = await subject.look_up(chat(CAPITAL + " Please."), "a")
    mine.question.vector.CopyFrom(vector(*NEAR))
    for request in (
        pb.LookupAlikeRequest(tenant_id="b", cache_key=mine.cache_key, question=mine.question),
        pb.LookupAlikeRequest(tenant_id="b", cache_key="0" * 64, question=mine.question),
    ):
        with pytest.raises(MeshError) as refused:
            await subject.client.lookup_alike(request, timeout_s=TIMEOUT_S)
        assert "FIELD_INVALID" == refused.value.reason


@pytest.mark.parametrize("values", [b"", b"abc", b"\0" * 4 * 4_097])
async def test_vectors_that_are_none_are_refused(start_cache: Start, values: bytes) -> None:
    """As FIELD_INVALID."""
    subject = await start_cache(CONFIG)
    missed = await subject.look_up(chat(CAPITAL))
    missed.question.vector.CopyFrom(pb.Vector(values=values))
    request = pb.LookupAlikeRequest(tenant_id="a", cache_key=missed.cache_key, question=missed.question)
    with pytest.raises(MeshError) as refused:
        await subject.client.lookup_alike(request, timeout_s=TIMEOUT_S)
    assert "FIELD_INVALID" == refused.value.reason


async def test_a_vector_may_come_later(start_cache: Start) -> None:
    """Until then the answer is for equal requests only; 4,096 components are welcome."""
    subject = await start_cache(CONFIG)
    long = [0.5, *(0.001 * number for number in range(4_095))]
    key = await keep(subject, CAPITAL, None)
    assert not (await subject.look_up(chat(CAPITAL_CITY))).question.comparable
    missed = (await subject.look_up(chat(CAPITAL), key_only=True)).question
    missed.vector.CopyFrom(vector(*long))
    later = pb.LearnQuestionRequest(tenant_id="a", cache_key=key, question=missed)
    await subject.client.learn_question(later, timeout_s=TIMEOUT_S)
    found = await alike(subject, CAPITAL_CITY, vector(*long))

    assert found is not None and key == found.source_key


async def test_replicas_share_vectors(start_cache: Start, redis_url: str) -> None:
    """What was brought to one is known to another, and to one that starts later, until it is flushed."""
    config = replace(shared(redis_url), embedding_model="e")
    one, two = [await start_cache(config, **LIMITS) for _ in range(2)]
    key = await keep(one, CAPITAL, vector(*FIRST))

    async def comparable() -> bool:
        return bool((await two.look_up(chat(CAPITAL_CITY))).question.comparable)

    await eventually(comparable, "the other replica knows the question")
    assert await alike(two, CAPITAL_CITY, vector(*NEAR)) is not None
    late = await start_cache(config, **LIMITS)
    for each in (one, late):
        assert key == (await each.look_up(chat(CAPITAL_CITY))).entry.source_key
    await late.delete()
    assert "e" == (await one.look_up(chat(CAPITAL_CITY))).question.embedding_model


async def test_an_operator_may_stay_with_the_local_model(start_cache: Start) -> None:
    """Whatever the configuration names."""
    subject = await start_cache(CONFIG, embedding_model="packaged")
    await keep(subject, CAPITAL, None)

    assert (await subject.look_up(chat(CAPITAL_CITY))).HasField("entry")
