"""The semantic cache as a service: what hits, what never does, and what replicas learn from each other."""

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from meshgate_cache.semantic.model import packaged_files
from meshgate_chassis.config.model import CacheConfig, Secret
from meshgate_chassis.errors import MeshError
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer
from tests.unit.cache.subject import Start, Subject, answer, chat

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")

LOCAL = CacheConfig(enabled=True, semantic=True)
CAPITAL = "What is the capital of France?"
CAPITAL_CITY = "What is the capital city of France?"
LIMITS = {"lookup_timeout_s": 5.0, "store_timeout_s": 5.0}


def shared(url: str) -> CacheConfig:
    return CacheConfig(enabled=True, type="redis", semantic=True, redis_url=Secret(url), ttl_s=600)


async def keep(subject: Subject, request: chat_pb.ChatRequest, text: str, tenant: str = "a") -> str:
    """As the edge does after a miss: stores with the question that the lookup gave."""
    missed = await subject.look_up(request, tenant)
    entry = pb.Entry(response=answer(text), deployment_id="d1", cost_usd_nanos=1_500)
    stored = await subject.client.store_entry(
        pb.StoreEntryRequest(
            tenant_id=tenant, cache_key=missed.cache_key, entry=entry, question=missed.question
        ),
        timeout_s=10.0,
    )
    assert stored.stored
    return str(missed.cache_key)


def said(found: pb.LookupEntryResponse) -> str | None:
    """The text of the answer, or None for a miss."""
    return found.entry.response.choices[0].message.text if found.HasField("entry") else None


async def test_the_example(start_cache: Start) -> None:
    """The capital city is the capital; the population of Paris is neither."""
    subject = await start_cache(LOCAL)
    source = await keep(subject, chat(CAPITAL), "Paris.")

    hit = await subject.look_up(chat(CAPITAL_CITY))
    exact = await subject.look_up(chat(CAPITAL))
    other = await subject.look_up(chat("What is the population of Paris?"))

    assert ("Paris.", source) == (said(hit), hit.entry.source_key)
    assert 0.8 <= hit.entry.similarity <= 1
    assert hit.cache_key != source
    assert ("Paris.", False) == (said(exact), exact.entry.HasField("similarity"))
    assert said(other) is None
    assert other.question.text == "What is the population of Paris?"


async def test_other_tenants_and_namespaces_never_hit(start_cache: Start) -> None:
    """Neither by equal nor by similar words."""
    subject = await start_cache(LOCAL)
    await keep(subject, chat(CAPITAL), "Paris.")

    assert said(await subject.look_up(chat(CAPITAL_CITY), "b")) is None
    assert said(await subject.look_up(chat(CAPITAL_CITY), namespace="other")) is None


@pytest.mark.parametrize(
    "changed",
    [
        chat(CAPITAL_CITY, temperature=0.5),
        chat(CAPITAL_CITY, max_tokens=5),
        chat(CAPITAL_CITY, extra_json=b'{"top_k": 3}'),
        chat(CAPITAL_CITY, response_format_json=b'{"type": "json_object"}'),
    ],
)
async def test_other_parameters_never_hit(start_cache: Start, changed: chat_pb.ChatRequest) -> None:
    """Everything but the last user text must be equal."""
    subject = await start_cache(LOCAL)
    await keep(subject, chat(CAPITAL), "Paris.")

    assert said(await subject.look_up(changed)) is None


async def test_other_history_never_hits(start_cache: Start) -> None:
    """The last message alone does not say what is asked."""
    subject = await start_cache(LOCAL)

    def talk(first: str, last: str) -> chat_pb.ChatRequest:
        texts = (("user", first), ("assistant", "Yes."), ("user", last))
        return chat_pb.ChatRequest(
            model="m", messages=[chat_pb.Message(role=role, text=text) for role, text in texts]
        )

    await keep(subject, talk("Do you know France?", "What is its capital?"), "Paris.")

    assert said(await subject.look_up(talk("Do you know Spain?", "What is its capital?"))) is None
    assert said(await subject.look_up(talk("Do you know Spain?", "What is its capital city?"))) is None
    assert "Paris." == said(await subject.look_up(talk("Do you know France?", "what's its capital?")))


async def test_a_reported_pair_never_hits_again(start_cache: Start, redis_url: str) -> None:
    """On no replica, and not on one that starts later; the answer itself stays."""
    one = await start_cache(shared(redis_url), **LIMITS)
    source = await keep(one, chat(CAPITAL), "Paris.")
    hit = await one.look_up(chat(CAPITAL_CITY))
    report = pb.ReportHitRequest(cache_key=hit.cache_key, source_key=hit.entry.source_key)
    await one.client.report_hit(report, timeout_s=10.0)
    late = await start_cache(shared(redis_url), **LIMITS)

    for subject in (one, late):
        assert said(await subject.look_up(chat(CAPITAL_CITY))) is None
        assert "Paris." == said(await subject.look_up(chat(CAPITAL)))
        assert source == (await subject.look_up(chat("what is the capital of france"))).entry.source_key


async def test_a_reported_pair_never_hits_again_though_redis_was_emptied(
    start_cache: Start, redis_url: str
) -> None:
    """Those who know of it tell the empty Redis, so that a replica that starts later knows it as well."""
    first = await start_cache(shared(redis_url), **LIMITS)
    source = await keep(first, chat(CAPITAL), "Paris.")
    wrong = await first.look_up(chat(CAPITAL_CITY))
    report = pb.ReportHitRequest(cache_key=wrong.cache_key, source_key=source)
    await first.client.report_hit(report, timeout_s=10.0)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        first.clock.advance(60.0)
        await keep(first, chat(CAPITAL), "Paris.")

        async def told() -> bool:
            return await redis.exists("meshgate:cache:semantic:1:reports") == 1

        await eventually(told, "Redis knows of the report again")
    later = await start_cache(shared(redis_url), **LIMITS)

    assert ("Paris.", None) == (
        said(await later.look_up(chat(CAPITAL))),
        said(await later.look_up(chat(CAPITAL_CITY))),
    )


async def test_reports_are_checked(start_cache: Start) -> None:
    """Two keys, of one tenant."""
    subject = await start_cache(LOCAL)
    keys = [(await subject.look_up(chat(), tenant)).cache_key for tenant in ("a", "b")]
    for first, second in ((keys[0], keys[1]), ("x", keys[0]), (keys[0], "")):
        with pytest.raises(MeshError) as refused:
            await subject.client.report_hit(
                pb.ReportHitRequest(cache_key=first, source_key=second), timeout_s=10.0
            )
        assert "FIELD_INVALID" == refused.value.reason


async def test_replicas_share_what_they_learn(start_cache: Start, redis_url: str) -> None:
    """Stored on one, found by meaning on another, and on one that starts later; deleted for all."""
    one = await start_cache(shared(redis_url), **LIMITS)
    two = await start_cache(shared(redis_url), **LIMITS)
    key = await keep(one, chat(CAPITAL), "Paris.")

    async def hits() -> bool:
        return said(await two.look_up(chat(CAPITAL_CITY))) == "Paris."

    await eventually(hits, "the other replica knows the question")
    late = await start_cache(shared(redis_url), **LIMITS)
    assert "Paris." == said(await late.look_up(chat(CAPITAL_CITY)))

    assert 1 == await late.delete(cache_keys=[key])
    assert said(await one.look_up(chat(CAPITAL_CITY))) is None


async def test_a_flushed_redis_is_a_miss(start_cache: Start, redis_url: str) -> None:
    """What Redis lost is not found, and can be learned again."""
    subject = await start_cache(shared(redis_url), **LIMITS)
    await keep(subject, chat(CAPITAL), "Paris.")
    redis = Redis.from_url(redis_url)
    await redis.flushall()
    await redis.aclose()

    assert said(await subject.look_up(chat(CAPITAL_CITY))) is None
    await keep(subject, chat(CAPITAL), "Paris, again.")
    assert "Paris, again." == said(await subject.look_up(chat(CAPITAL_CITY)))


async def test_answers_too_old_are_not_found(start_cache: Start) -> None:
    """By their time to live, and by the caller's wish."""
    subject = await start_cache(replace(LOCAL, ttl_s=60))
    await keep(subject, chat(CAPITAL), "Paris.")
    wish = pb.LookupEntryRequest(tenant_id="a", chat=chat(CAPITAL_CITY))
    wish.max_age.FromSeconds(10)

    subject.clock.advance(20)
    assert said(await subject.client.lookup_entry(wish, timeout_s=10.0)) is None
    assert "Paris." == said(await subject.look_up(chat(CAPITAL_CITY)))
    subject.clock.advance(41)
    assert said(await subject.look_up(chat(CAPITAL_CITY))) is None


async def test_flushing_a_namespace_forgets_its_questions(start_cache: Start) -> None:
    """Statistics tell of both."""
    subject = await start_cache(LOCAL)
    await keep(subject, chat(CAPITAL), "Paris.")
    await subject.look_up(chat(CAPITAL_CITY))
    before = await subject.status()
    assert 1 == await subject.delete()
    after = await subject.status()

    (told,) = before.namespaces
    assert (1, 1, 1, 1_500, 9, 1) == (
        told.hit_count,
        told.semantic_hit_count,
        told.miss_count,
        told.saved_usd_nanos,
        told.saved_tokens,
        told.question_count,
    )
    assert (1, 0) == (before.semantic.question_count, after.semantic.question_count)


async def test_without_a_model_words_are_compared(start_cache: Start) -> None:
    """The light fallback serves what is nearly equal."""
    subject = await start_cache(LOCAL, embedding_model="hashed")
    await keep(subject, chat(CAPITAL), "Paris.")

    assert "Paris." == said(await subject.look_up(chat("what is the capital of France")))
    assert said(await subject.look_up(chat("What is the capital of Spain?"))) is None


async def test_a_folder_without_a_model_is_refused(start_cache: Start, tmp_path: object) -> None:
    """At start, by name."""
    with pytest.raises(MeshError) as refused:
        await start_cache(LOCAL, embedding_model=str(tmp_path))
    assert "SETTINGS_INVALID" == refused.value.reason


async def test_a_redis_that_comes_back_is_followed_again(
    start_cache: Start, own_redis_server: RedisServer
) -> None:
    """Lookups fail at once or miss while it is away; then replicas hear of each other again."""
    one = await start_cache(shared(own_redis_server.url), **LIMITS)
    two = await start_cache(shared(own_redis_server.url), **LIMITS)
    await keep(one, chat(CAPITAL), "Paris.")
    own_redis_server.restart()

    async def hears() -> bool:
        for subject in (one, two):
            subject.clock.advance(1)
        try:
            await keep(one, chat(CAPITAL), "Paris, again.")
            return said(await two.look_up(chat(CAPITAL_CITY))) == "Paris, again."
        except MeshError as error:
            assert "STORE_UNAVAILABLE" == error.reason
            return False

    await eventually(hears, "the other replica hears of the question")
