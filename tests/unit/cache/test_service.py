"""The whole service over real gRPC, built by its own composition root."""

import asyncio
import logging

import pytest

from meshgate_cache.entry import CacheEntry, encode
from meshgate_chassis.config.model import CacheConfig, Secret
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.redis_client import redis_client
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer
from tests.unit.cache.subject import TIMEOUT_S, Start, Subject, answer, chat, redis_config


async def test_an_answer_is_found_again(subject: Subject) -> None:
    """As it was, with who gave it, what it cost and when it was stored."""
    missed = await subject.look_up(chat())
    stored = await subject.store(chat(), answer())
    found = await subject.look_up(chat())

    assert not missed.HasField("entry")
    assert (True, "") == (stored.stored, stored.reason)
    assert missed.cache_key == found.cache_key
    assert answer() == found.entry.response
    assert ("d1", 1_500) == (found.entry.deployment_id, found.entry.cost_usd_nanos)
    assert subject.clock.now_ns() == found.entry.create_time.ToNanoseconds()
    assert not found.entry.HasField("similarity")


async def test_streamed_and_unstreamed_share_an_answer(subject: Subject) -> None:
    """A hit can be replayed either way."""
    await subject.store(chat(stream=True, stream_options_json=b'{"include_usage":true}'), answer())

    assert (await subject.look_up(chat())).HasField("entry")
    assert (await subject.look_up(chat(stream=False))).HasField("entry")


async def test_tenants_and_namespaces_are_apart(subject: Subject) -> None:
    """Nobody sees an answer of another tenant, or of another namespace."""
    await subject.store(chat(), answer())
    await subject.store(chat(), answer("In the namespace."), namespace="x")

    assert not (await subject.look_up(chat(), "b")).HasField("entry")
    assert not (await subject.look_up(chat(), namespace="y")).HasField("entry")
    in_x = await subject.look_up(chat(), namespace="x")
    assert "In the namespace." == in_x.entry.response.choices[0].message.text
    assert answer() == (await subject.look_up(chat())).entry.response


async def test_an_answer_cannot_be_planted_at_another_tenant(subject: Subject) -> None:
    """A key of tenant a, shown by tenant b, is refused and stores nothing."""
    key = (await subject.look_up(chat(), "a")).cache_key
    request = pb.StoreEntryRequest(tenant_id="b", cache_key=key, entry=pb.Entry(response=answer()))
    with pytest.raises(MeshError) as caught:
        await subject.client.store_entry(request, timeout_s=TIMEOUT_S)

    assert (Code.INVALID_ARGUMENT, "FIELD_INVALID") == (caught.value.code, caught.value.reason)
    assert ["cache_key"] == list(caught.value.fields)
    assert not (await subject.look_up(chat(), "a")).HasField("entry")


async def test_a_lookup_finds_what_it_carried(subject: Subject) -> None:
    """Answers of earlier calls are kept before the lookup, for whomever they are; an invalid one, or one that
    must not be kept, is counted and harms nobody else."""
    mine, others = (
        (await subject.look_up(chat(), "a")).cache_key,
        (await subject.look_up(chat(), "b")).cache_key,
    )
    carried = [
        pb.StoreEntryRequest(tenant_id="a", cache_key=mine, entry=pb.Entry(response=answer("mine"))),
        pb.StoreEntryRequest(tenant_id="a", cache_key=others, entry=pb.Entry(response=answer("stolen"))),
        pb.StoreEntryRequest(tenant_id="b", cache_key=others, entry=pb.Entry(response=answer("theirs"))),
        pb.StoreEntryRequest(tenant_id="b", cache_key=others, entry=pb.Entry(response=answer(text=""))),
    ]
    found = await subject.look_up(chat(), "a", stores=carried)

    assert "mine" == found.entry.response.choices[0].message.text
    assert ["", "FIELD_INVALID", "", "EMPTY"] == [each.reason for each in found.kept]
    assert "theirs" == (await subject.look_up(chat(), "b")).entry.response.choices[0].message.text
    assert 2 == subject.metric("meshgate_cache_stores_total", result="stored")
    assert 1 == subject.metric("meshgate_cache_stores_total", result="field_invalid")
    assert 1 == subject.metric("meshgate_cache_stores_total", result="empty")


async def test_lookups_that_come_together_have_their_own_outcomes(subject: Subject) -> None:
    """Hit, miss and error, in order."""
    await subject.store(chat("known"), answer("yes"))
    lookups = [
        pb.LookupEntryRequest(tenant_id="a", chat=chat("unknown")),
        pb.LookupEntryRequest(chat=chat("known")),
        pb.LookupEntryRequest(tenant_id="a", chat=chat("known")),
    ]
    told = await subject.client.lookup_entries(pb.LookupEntriesRequest(lookups=lookups), timeout_s=10)

    missed, refused, found = told.results
    assert not missed.response.HasField("entry")
    assert ("FIELD_INVALID", Code.INVALID_ARGUMENT.value) == (refused.error.reason, refused.error.code)
    assert "yes" == found.response.entry.response.choices[0].message.text
    with pytest.raises(MeshError):
        await subject.client.lookup_entries(pb.LookupEntriesRequest(), timeout_s=10)


async def test_a_lookup_carries_no_more_than_it_may(subject: Subject) -> None:
    """FIELD_INVALID."""
    with pytest.raises(MeshError) as caught:
        await subject.look_up(chat(), stores=[pb.StoreEntryRequest()] * 65)

    assert ["stores"] == list(caught.value.fields)


async def test_a_lookup_for_the_key_alone_reads_nothing(subject: Subject) -> None:
    """ "no-cache": the key comes, the entry does not, and nothing is counted."""
    await subject.store(chat(), answer())
    found = await subject.look_up(chat(), key_only=True)

    assert 64 == len(found.cache_key)
    assert not found.HasField("entry")
    status = await subject.status()
    assert (0, 0) == (status.hit_count, status.miss_count)


async def test_an_answer_that_is_too_old_for_the_caller_is_a_miss(subject: Subject) -> None:
    """And stays for callers who are not so particular."""
    await subject.store(chat(), answer())
    subject.clock.advance(30)

    assert not (await subject.look_up(chat(), max_age={"seconds": 30})).HasField("entry")
    assert (await subject.look_up(chat(), max_age={"seconds": 31})).HasField("entry")
    assert (await subject.look_up(chat())).HasField("entry")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (answer(finish_reason="length"), "FINISH_REASON"),
        (answer(finish_reason="content_filter"), "FINISH_REASON"),
        (answer(finish_reason=""), "FINISH_REASON"),
        (answer(text=""), "EMPTY"),
        (chat_pb.ChatResponse(), "EMPTY"),
        (answer(text="x" * 2_000_000), "TOO_LARGE"),
    ],
)
async def test_what_must_not_be_stored_is_refused_as_a_value(
    subject: Subject, response: chat_pb.ChatResponse, reason: str
) -> None:
    """With the reason, and it is not found afterwards."""
    refused = await subject.store(chat(), response)

    assert (False, reason) == (refused.stored, refused.reason)
    assert not (await subject.look_up(chat())).HasField("entry")
    assert 1 == subject.metric("meshgate_cache_stores_total", result=reason.lower())


async def test_answers_are_deleted_by_key_tenant_and_namespace(subject: Subject) -> None:
    """Each reaches what it names and nothing else."""
    for tenant in ("a", "b"):
        for text in ("1", "2"):
            await subject.store(chat(text), answer(), tenant)
    await subject.store(chat("1"), answer(), "a", namespace="x")
    key = (await subject.look_up(chat("1"), "a")).cache_key

    assert 0 == await subject.delete(tenant_id="b", cache_keys=[key])
    assert 1 == await subject.delete(tenant_id="a", cache_keys=[key, "no key"])
    assert 1 == await subject.delete(tenant_id="a")
    assert 1 == await subject.delete(namespace="x")
    assert (await subject.look_up(chat("1"), "b")).HasField("entry")
    assert 2 == await subject.delete()
    assert 0 == await subject.delete()


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.LookupEntryRequest(chat=chat()), "tenant_id"),
        (pb.LookupEntryRequest(tenant_id="t" * 257, chat=chat()), "tenant_id"),
        (pb.LookupEntryRequest(tenant_id="a"), "chat"),
        (pb.LookupEntryRequest(tenant_id="a", chat=chat(), namespace="n" * 257), "namespace"),
        (pb.StoreEntryRequest(cache_key="0" * 64), "tenant_id"),
        (pb.StoreEntryRequest(tenant_id="a", cache_key="short"), "cache_key"),
        (pb.StoreEntryRequest(tenant_id="a", entry=pb.Entry(deployment_id="d" * 257)), "entry.deployment_id"),
        (pb.StoreEntryRequest(tenant_id="a", ttl={"seconds": 0}), "ttl"),
        (pb.StoreEntryRequest(tenant_id="a", ttl={"seconds": -1}), "ttl"),
        (pb.DeleteEntriesRequest(cache_keys=["k"] * 10_001), "cache_keys"),
    ],
)
async def test_bad_requests_name_the_field(subject: Subject, request_: object, field: str) -> None:
    """INVALID_ARGUMENT/FIELD_INVALID."""
    method = {
        pb.LookupEntryRequest: subject.client.lookup_entry,
        pb.StoreEntryRequest: subject.client.store_entry,
        pb.DeleteEntriesRequest: subject.client.delete_entries,
    }[type(request_)]
    with pytest.raises(MeshError) as caught:
        await method(request_, timeout_s=TIMEOUT_S)

    assert (Code.INVALID_ARGUMENT, [field]) == (caught.value.code, list(caught.value.fields))


async def test_hits_and_misses_are_counted(subject: Subject) -> None:
    """In the status and in the metrics."""
    await subject.look_up(chat())
    await subject.store(chat(), answer())
    for _ in range(3):
        await subject.look_up(chat())
    status = await subject.status()

    assert (3, 1) == (status.hit_count, status.miss_count)
    assert (True, True) == (status.enabled, status.reachable)
    assert 3 == subject.metric("meshgate_cache_lookups_total", result="hit")
    assert 1 == subject.metric("meshgate_cache_lookups_total", result="miss")


async def test_a_cache_that_is_off_answers_with_keys(start_cache: Start) -> None:
    """It finds and keeps nothing, and says so."""
    subject = await start_cache(CacheConfig(enabled=False))
    stored = await subject.store(chat(), answer())
    found = await subject.look_up(chat())

    assert (False, "DISABLED") == (stored.stored, stored.reason)
    assert 64 == len(found.cache_key)
    assert not found.HasField("entry")
    assert not (await subject.status()).enabled


async def test_without_a_redis_answers_are_kept_in_memory(start_cache: Start) -> None:
    """type: redis without an address is a warning, not a failure."""
    subject = await start_cache(CacheConfig(enabled=True, type="redis"))
    await subject.store(chat(), answer())

    assert "memory" == (await subject.status()).backend
    assert (await subject.look_up(chat())).HasField("entry")
    assert 1 == subject.metric("meshgate_cache_memory_entries")
    assert 600 < (subject.metric("meshgate_cache_memory_bytes") or 0) < 2_000


async def test_memory_forgets_after_the_configured_time(start_cache: Start) -> None:
    """The request's TTL wins over the configuration's."""
    subject = await start_cache(CacheConfig(enabled=True, ttl_s=100))
    await subject.store(chat("configured"), answer())
    await subject.store(chat("requested"), answer(), ttl={"seconds": 200})
    subject.clock.advance(150)

    assert not (await subject.look_up(chat("configured"))).HasField("entry")
    assert (await subject.look_up(chat("requested"))).HasField("entry")


async def test_a_second_replica_hits_what_the_first_stored(start_cache: Start, redis_url: str) -> None:
    """Through Redis, by the same key."""
    first = await start_cache(redis_config(redis_url))
    second = await start_cache(redis_config(redis_url))
    await first.store(chat(), answer())

    assert answer() == (await second.look_up(chat())).entry.response


async def test_an_entry_that_is_no_response_is_a_miss(start_cache: Start, redis_url: str) -> None:
    """Even when its envelope is right."""
    subject = await start_cache(redis_config(redis_url))
    key = f"litellm:cache:{(await subject.look_up(chat())).cache_key}"
    client = redis_client(Secret(redis_url), 1)
    await client.set(key, encode(CacheEntry(b"\xff\xff\xff", 0, "", 0), key))
    await client.aclose()

    assert not (await subject.look_up(chat())).HasField("entry")
    assert 2 == (await subject.status()).miss_count


async def test_redis_down_is_a_typed_error_and_the_service_lives(
    start_cache: Start, own_redis_server: RedisServer
) -> None:
    """Lookups fail at once; the status tells; when Redis is back, answers are kept again."""
    subject = await start_cache(redis_config(own_redis_server.url))
    own_redis_server.kill()
    for _ in range(10):
        with pytest.raises(MeshError) as caught:
            await subject.look_up(chat())
        assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (caught.value.code, caught.value.reason)
    assert not (await subject.status()).reachable
    assert 10 == subject.metric("meshgate_cache_lookups_total", result="error")
    assert 0 == subject.metric("meshgate_cache_redis_reachable")

    own_redis_server.start()
    await eventually(lambda: subject.metric("meshgate_cache_redis_reachable") == 1, "Redis is used again")
    assert (await subject.store(chat(), answer())).stored


async def test_prompts_and_answers_are_not_logged(
    start_cache: Start,
    own_redis_server: RedisServer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither when all is well nor when Redis fails."""
    caplog.set_level(logging.DEBUG)
    subject = await start_cache(redis_config(own_redis_server.url))
    await subject.store(chat("a planted prompt"), answer("a planted answer"))
    await subject.look_up(chat("a planted prompt"))
    own_redis_server.kill()
    await asyncio.gather(
        *(subject.look_up(chat("a planted prompt")) for _ in range(5)), return_exceptions=True
    )
    output = capfd.readouterr()

    assert "Redis does not answer" in output.out + caplog.text
    assert "planted" not in output.out + output.err + caplog.text
