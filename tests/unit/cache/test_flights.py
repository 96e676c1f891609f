"""Single flight over the cache's own contract: who leads, who waits, and what frees those who wait."""

import asyncio
from collections import Counter

import pytest

from meshgate_cache.claims import UNSHARED_S
from meshgate_chassis.errors import MeshError
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer
from tests.unit.cache.subject import MEMORY, TIMEOUT_S, Start, Subject, answer, chat, redis_config

LEADER, FOLLOWER, ALONE = pb.FLIGHT_ROLE_LEADER, pb.FLIGHT_ROLE_FOLLOWER, pb.FLIGHT_ROLE_ALONE


async def board(cache: Subject, text: str = "q", tenant: str = "a") -> pb.LookupEntryResponse:
    return await cache.look_up(chat(text), tenant, claim=True)


async def wait(
    cache: Subject, key: str, wait_s: float = TIMEOUT_S, tenant: str = "a"
) -> pb.AwaitEntryResponse:
    request = pb.AwaitEntryRequest(tenant_id=tenant, cache_key=key)
    return await cache.client.await_entry(request, timeout_s=wait_s)


async def store(cache: Subject, led: pb.LookupEntryResponse, reason: str = "stop") -> pb.StoreEntryResponse:
    request = pb.StoreEntryRequest(
        tenant_id="a",
        cache_key=led.cache_key,
        entry=pb.Entry(response=answer(finish_reason=reason)),
        flight_token=led.flight.token,
    )
    answers = await cache.client.store_entries(pb.StoreEntriesRequest(stores=[request]), timeout_s=TIMEOUT_S)
    return answers.results[0]


async def end(cache: Subject, key: str, token: str, *, unshared: bool = False) -> None:
    claim = pb.FlightClaim(tenant_id="a", cache_key=key, token=token)
    request = pb.EndFlightRequest(claim=claim, unshared=unshared)
    await cache.client.end_flight(request, timeout_s=TIMEOUT_S)


async def waiters(cache: Subject, key: str, count: int) -> list[asyncio.Future[pb.AwaitEntryResponse]]:
    """They wait, each in a call of its own."""
    futures = [asyncio.ensure_future(wait(cache, key)) for _ in range(count)]
    await eventually(lambda: cache.metric("meshgate_cache_waiting") == count, "they wait")
    return futures


async def test_one_leads_and_the_others_get_its_answer(subject: Subject) -> None:
    """Also who asks later, and it is found like any other afterwards."""
    led = await board(subject)
    roles = Counter([(await board(subject)).flight.role for _ in range(5)])
    futures = await waiters(subject, led.cache_key, 5)
    assert (await store(subject, led)).stored
    got = await asyncio.gather(*futures)

    assert (LEADER, {FOLLOWER: 5}) == (led.flight.role, roles)
    assert {"Paris."} == {each.entry.response.choices[0].message.text for each in got}
    assert (await board(subject)).HasField("entry")
    assert 0 == subject.metric("meshgate_cache_waiting")


async def test_a_leader_that_gives_up_is_followed_by_exactly_one(subject: Subject) -> None:
    """The others go on waiting, for the new one's answer."""
    led = await board(subject)
    futures = await waiters(subject, led.cache_key, 5)
    await end(subject, led.cache_key, led.flight.token)
    done, waiting = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)

    (new,) = [each.result() for each in done]
    assert (LEADER, 4) == (new.flight.role, len(waiting))
    assert new.flight.token != led.flight.token
    again = pb.LookupEntryResponse(cache_key=led.cache_key, flight=new.flight)
    assert (await store(subject, again)).stored
    assert all(each.HasField("entry") for each in await asyncio.gather(*waiting))


async def test_leaders_that_fail_one_after_the_other_do_not_queue_up_the_rest(subject: Subject) -> None:
    """After three of them everybody else goes on alone."""
    led = await board(subject)
    futures = await waiters(subject, led.cache_key, 8)
    token, left, leaders = led.flight.token, set(futures), 1
    while left:
        await end(subject, led.cache_key, token)
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        tokens = [each.result().flight.token for each in done if each.result().flight.role == LEADER]
        leaders += len(tokens)
        token = tokens[0] if tokens else token

    roles = Counter(future.result().flight.role for future in futures)
    assert {LEADER: 3, ALONE: 5} == roles
    assert 4 == leaders


async def test_a_lease_that_is_not_renewed_ends(start_cache: Start) -> None:
    """A leader that vanished frees the others; one that renews does not."""
    cache = await start_cache(MEMORY)
    led = await board(cache)
    lease_s = led.flight.lease.ToNanoseconds() / 1e9
    cache.clock.advance(lease_s * 0.7)
    claim = pb.FlightClaim(tenant_id="a", cache_key=led.cache_key, token=led.flight.token)
    renewal = pb.RenewFlightsRequest(claims=[claim])
    assert 1 == (await cache.client.renew_flights(renewal, timeout_s=TIMEOUT_S)).renewed_count
    cache.clock.advance(lease_s * 0.7)
    assert FOLLOWER == (await board(cache)).flight.role
    cache.clock.advance(lease_s * 0.4)
    assert LEADER == (await board(cache)).flight.role
    assert 0 == (await cache.client.renew_flights(renewal, timeout_s=TIMEOUT_S)).renewed_count


async def test_an_answer_that_is_not_kept_frees_all(start_cache: Start) -> None:
    """And for a while nobody waits for the next one."""
    cache = await start_cache(MEMORY)
    led = await board(cache)
    futures = await waiters(cache, led.cache_key, 3)
    assert "FINISH_REASON" == (await store(cache, led, "length")).reason

    assert [ALONE] * 3 == [each.flight.role for each in await asyncio.gather(*futures)]
    assert ALONE == (await board(cache)).flight.role
    cache.clock.advance(UNSHARED_S)
    assert LEADER == (await board(cache)).flight.role


async def test_an_answer_that_is_nobody_else_s_frees_all(subject: Subject) -> None:
    """As one that is not kept; the leader says so."""
    led = await board(subject)
    futures = await waiters(subject, led.cache_key, 3)
    await end(subject, led.cache_key, led.flight.token, unshared=True)

    assert [ALONE] * 3 == [each.flight.role for each in await asyncio.gather(*futures)]
    assert ALONE == (await board(subject)).flight.role


async def test_waiting_ends_with_the_caller_s_time(subject: Subject) -> None:
    """Then it goes on alone, as a value, not an error."""
    led = await board(subject)

    assert ALONE == (await wait(subject, led.cache_key, 0.2)).flight.role


async def test_a_chosen_leader_that_has_gone_does_not_block(subject: Subject) -> None:
    """Who was cancelled while it waited is not made the leader."""
    led = await board(subject)
    futures = await waiters(subject, led.cache_key, 3)
    futures[0].cancel()
    await eventually(lambda: subject.metric("meshgate_cache_waiting") == 2, "it has gone")
    await end(subject, led.cache_key, led.flight.token)
    done, waiting = await asyncio.wait(futures[1:], return_when=asyncio.FIRST_COMPLETED)

    assert [LEADER] == [each.result().flight.role for each in done]
    for each in waiting:
        each.cancel()


async def test_tenants_and_controls(subject: Subject) -> None:
    """Another tenant leads for itself; a key of another tenant is refused; no claim, no flight."""
    led = await board(subject)

    assert LEADER == (await board(subject, tenant="b")).flight.role
    assert not (await subject.look_up(chat("q"))).HasField("flight")
    for call in (wait(subject, led.cache_key, tenant="b"), wait(subject, "x")):
        with pytest.raises(MeshError) as caught:
            await call
        assert "FIELD_INVALID" == caught.value.reason


async def test_two_replicas_on_one_redis(start_cache: Start, redis_url: str) -> None:
    """One leads over both; its answer, stored at one, frees those who wait at the other."""
    one, two = [
        await start_cache(redis_config(redis_url), lookup_timeout_s=5.0, store_timeout_s=5.0)
        for _ in range(2)
    ]
    led = await board(one)
    assert FOLLOWER == (await board(two)).flight.role
    futures = [*await waiters(one, led.cache_key, 2), *await waiters(two, led.cache_key, 2)]
    await store(one, led)
    assert all(each.HasField("entry") for each in await asyncio.gather(*futures))

    other = await board(one, "another")
    futures = [*await waiters(one, other.cache_key, 2), *await waiters(two, other.cache_key, 2)]
    await end(two, other.cache_key, other.flight.token)
    done, waiting = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    assert 1 == len(done), "exactly one leads, whichever replica it waits at"
    for each in waiting:
        each.cancel()


async def test_redis_that_goes_away_frees_those_who_wait(
    start_cache: Start, own_redis_server: RedisServer
) -> None:
    """They go on alone, without an error; when it is back, flights work again."""
    cache = await start_cache(redis_config(own_redis_server.url), lookup_timeout_s=1.0, store_timeout_s=1.0)
    led = await board(cache)
    futures = await waiters(cache, led.cache_key, 3)
    own_redis_server.kill()
    assert [ALONE] * 3 == [each.flight.role for each in await asyncio.gather(*futures)]
    own_redis_server.start()

    async def leads() -> bool:
        try:
            return (await board(cache, "new")).flight.role == LEADER
        except MeshError:
            return False

    await eventually(leads, "flights work again")


async def test_stores_in_a_batch_end_for_themselves(subject: Subject) -> None:
    """One that is invalid or not kept does not spoil the others; an empty batch is refused."""
    keys = [(await subject.look_up(chat(text), key_only=True)).cache_key for text in ("a", "b", "c")]
    good = pb.Entry(response=answer())
    stores = [
        pb.StoreEntryRequest(tenant_id="a", cache_key=keys[0], entry=good),
        pb.StoreEntryRequest(tenant_id="a", cache_key="none", entry=good),
        pb.StoreEntryRequest(tenant_id="a", cache_key=keys[1], entry=pb.Entry(response=answer("", "stop"))),
        pb.StoreEntryRequest(tenant_id="a", cache_key=keys[2], entry=good),
    ]
    batch = pb.StoreEntriesRequest(stores=stores)
    results = (await subject.client.store_entries(batch, timeout_s=TIMEOUT_S)).results

    assert [(True, ""), (False, "FIELD_INVALID"), (False, "EMPTY"), (True, "")] == [
        (each.stored, each.reason) for each in results
    ]
    assert [True, False, True] == [
        (await subject.look_up(chat(text))).HasField("entry") for text in ("a", "b", "c")
    ]
    with pytest.raises(MeshError):
        await subject.client.store_entries(pb.StoreEntriesRequest(), timeout_s=TIMEOUT_S)
