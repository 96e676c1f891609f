"""Deleting, flushing and telling, over two replicas of the cache: what one forgets, all forget."""

from typing import Any

import pytest

from meshgate_cache.semantic.model import packaged_files
from tests.mesh.subject import Answer, Subject
from tests.mesh.two_replicas import CAPITAL, CAPITAL_CITY, Two, status, two
from tests.support.eventually import eventually
from tests.support.redis_server import redis_server, redis_url

__all__ = ["redis_server", "redis_url", "two"]

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")

MINE = {"namespace": "mine"}


async def told(subject: Subject, namespace: str) -> dict[str, Any]:
    """What a replica tells of a namespace."""
    return dict((await subject.get("/cache/stats")).json["namespaces"].get(namespace, {}))


async def asked_again(two: Two, text: str, **members: Any) -> list[Answer]:
    """On both, without storing what is answered."""
    cache = {"no-store": True, **members}
    return [await each.ask(text, cache=cache) for each in two]


async def knows(two: Two, count: int) -> None:
    async def both() -> bool:
        stats = [(await each.get("/cache/stats")).json for each in two]
        return [each["semantic"]["questions"] for each in stats] == [count, count]

    await eventually(both, f"both replicas know {count} questions")


async def test_a_flushed_namespace_is_gone_everywhere(two: Two) -> None:
    """Answers, questions in the memory of the other replica, and vectors; other namespaces stay."""
    await two.stored(CAPITAL)
    await two.stored(CAPITAL, cache=MINE)
    before = [status(each) for each in await asked_again(two, CAPITAL_CITY, **MINE)]
    embedded = len(await two.embedded())
    flushed = await two[0].post("/cache/flushall", MINE)

    assert ["HIT", "HIT"] == before
    assert 200 == flushed.status and flushed.json["deleted"] >= 1
    await knows(two, 1)
    for text in (CAPITAL, CAPITAL_CITY):
        assert ["MISS", "MISS"] == [status(each) for each in await asked_again(two, text, **MINE)]
        assert ["HIT", "HIT"] == [status(each) for each in await asked_again(two, text)]
    assert len(await two.embedded()) > embedded  # the vectors of the namespace are gone as well
    assert [0, 0] == [(await told(each, "mine"))["questions"] for each in two]


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_everything_can_be_flushed(two: Two, body: bytes) -> None:
    """Without a namespace, all of them; by the other replica; and it can be learned again."""
    await two.stored(CAPITAL)
    await two.stored(CAPITAL, cache=MINE)
    before = [(await told(each, "mine"))["entries"] for each in two]
    assert 200 == (await two[1].post("/cache/flushall", body)).status
    await knows(two, 0)

    assert [True, True] == [entries > 0 for entries in before]
    for text in (CAPITAL, CAPITAL_CITY):
        assert ["MISS", "MISS"] == [status(each) for each in await asked_again(two, text)]
        assert ["MISS", "MISS"] == [status(each) for each in await asked_again(two, text, **MINE)]
    assert [0, 0] == [(await told(each, "mine"))["questions"] for each in two]
    await two.stored(CAPITAL)
    assert ["HIT", "HIT"] == [status(each) for each in await asked_again(two, CAPITAL_CITY)]


async def test_the_configured_namespace_can_be_flushed(two: Two) -> None:
    """By its empty name; others stay."""
    await two.stored(CAPITAL)
    await two.stored(CAPITAL, cache=MINE)
    assert 200 == (await two[1].post("/cache/flushall", {"namespace": ""})).status
    await knows(two, 1)

    assert ["MISS", "MISS"] == [status(each) for each in await asked_again(two, CAPITAL)]
    assert ["HIT", "HIT"] == [status(each) for each in await asked_again(two, CAPITAL, **MINE)]


async def test_a_deleted_answer_is_gone_everywhere(two: Two) -> None:
    """For equal questions and for those that mean the same; others stay."""
    await two.stored(CAPITAL)
    await two.stored("How tall is Mount Everest?")
    hit = await two[0].ask(CAPITAL)
    deleted = await two[1].post("/cache/delete", {"keys": [hit.headers["x-litellm-cache-key"]]})

    assert {"status": "success", "deleted": 1} == deleted.json
    await knows(two, 1)
    for text in (CAPITAL, CAPITAL_CITY):
        assert ["MISS", "MISS"] == [status(each) for each in await asked_again(two, text)]
    assert ["HIT", "HIT"] == [status(each) for each in await asked_again(two, "How tall is Mount Everest?")]


async def test_answers_are_deleted_by_their_names_in_redis(two: Two) -> None:
    """Of any namespace; the header's key alone is of the configured one."""
    mine = await two.stored(CAPITAL, cache=MINE)
    await two.stored(CAPITAL)
    key = (await two[0].ask(CAPITAL, cache=MINE)).headers["x-litellm-cache-key"]
    before = [status(each) for each in await asked_again(two, CAPITAL, **MINE)]
    elsewhere = await two[1].post("/cache/delete", {"keys": [key]})
    deleted = await two[1].post("/cache/delete", {"keys": [f"mine:{key}", f"no:such:{key}"]})

    assert (200, ["HIT", "HIT"], 0, 1) == (
        mine.status,
        before,
        elsewhere.json["deleted"],
        deleted.json["deleted"],
    )
    assert ["MISS", "MISS"] == [status(each) for each in await asked_again(two, CAPITAL, **MINE)]
    assert ["HIT", "HIT"] == [status(each) for each in await asked_again(two, CAPITAL)]


async def test_redis_tells_of_itself(two: Two) -> None:
    """Its INFO and who is connected, for administrators."""
    key = await two[0].new_key()
    for each in two:
        answer = await each.get("/cache/redis/info")
        assert 200 == answer.status, answer.body
        told = answer.json
        assert "redis_version" in told["info"]
        assert told["num_clients"] >= 1 and told["clients"][0]["addr"]
        assert 401 == (await each.get("/cache/redis/info", key)).status


async def test_both_replicas_answer_for_themselves(two: Two) -> None:
    """Ping is open to all; statistics are of the replica that answers, by namespace, for administrators."""
    key = await two[0].new_key()
    await two.stored(CAPITAL, cache=MINE)
    for _ in range(3):
        assert "HIT" == status(await two[1].ask(CAPITAL, cache=MINE))

    for each in two:
        async with each.session.get(f"{each.mesh.url}/cache/ping") as ping:
            assert (200, "healthy", True) == (
                ping.status,
                (body := await ping.json())["status"],
                body["ping_response"],
            )
        assert 401 == (await each.get("/cache/stats", key)).status
    first, second = [await told(each, "mine") for each in two]
    assert [(0, 1), (3, 0)] == [(each["hits"], each["misses"]) for each in (first, second)]
    assert [1, 1] == [first["questions"], second["questions"]]
    assert second["saved_tokens"] > 0 and second["saved_usd"] > 0
