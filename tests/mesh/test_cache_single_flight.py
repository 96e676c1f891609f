"""Of many equal calls at the same time, over two edges and two caches, one reaches the provider."""

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from tests.mesh.subject import CONFIG, Answer, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_replicas import Replicas, mesh_replicas
from tests.support.redis_server import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

SLOW = "demo:first=0.7"  # long enough for all to arrive


class Two(list[Subject]):
    """Two edges; what they have in common."""

    replicas: Replicas

    def of(self, replicas: Replicas) -> Self:
        self.replicas = replicas
        return self


@pytest.fixture
async def two(postgres_dsn: str, redis_url: str) -> AsyncIterator[Two]:
    """Two edges in front of the same provider."""
    config = CONFIG.replace("type: local,", "type: redis, url: '" + redis_url + "', single_flight: true,")
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with demo_provider() as provider, aiohttp.ClientSession(connector=connector) as session:
            config = config.format(url=provider.url)
            async with mesh_replicas(config, folder, postgres_dsn) as replicas:
                yield Two(Subject(mesh, provider, session) for mesh in replicas.meshes).of(replicas)
    finally:
        shutil.rmtree(folder)


async def ask_all(two: Two, text: str, count: int, **members: Any) -> list[Answer]:
    return await asyncio.gather(
        *(two[number % 2].ask(f"{text} {SLOW}", **members) for number in range(count))
    )


async def test_one_call_for_all(two: Two) -> None:
    """50 get the same answer; one is charged, the others are hits with their saving."""
    answers = await ask_all(two, "What is the capital of France?", 50)

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.json["id"] for answer in answers})
    assert {"MISS": 1, "HIT": 49} == Counter(answer.headers["x-cache-status"] for answer in answers)
    assert 1 == len(await two[0].served())

    async def posted() -> list[dict[str, Any]]:
        entries = await two[0].entries()
        return entries if len(entries) == 50 else []

    entries = await eventually(posted, "all calls are on the books")
    assert {"success": 1, "cache_hit": 49} == Counter(str(entry["outcome"]) for entry in entries)
    charged = next(entry["amount_nanos"] for entry in entries if entry["outcome"] == "success")
    assert {charged} == {e["saved_nanos"] for e in entries if e["outcome"] == "cache_hit"}


async def test_equal_calls_of_an_edge_ask_the_cache_once(two: Two) -> None:
    """32 at one edge: one lookup, one store; the others wait where they are, and are hits with a saving."""
    question = f"What is the capital of France? {SLOW}"
    answers = await asyncio.gather(*(two[0].ask(question) for _ in range(32)))

    assert {"MISS": 1, "HIT": 31} == Counter(answer.headers["x-cache-status"] for answer in answers)
    assert 1 == len({answer.json["id"] for answer in answers})
    assert 1 == len({answer.headers.get("x-litellm-cache-key") for answer in answers} - {None})
    names = ("LookupEntry", "LookupEntries", "AwaitEntry", "StoreEntries")
    assert [1, 0, 0, 1] == [two.replicas.asked(name) for name in names]

    async def posted() -> list[dict[str, Any]]:
        entries = await two[0].entries()
        return entries if len(entries) == 32 else []

    entries = await eventually(posted, "all calls are on the books")
    charged = next(entry["amount_nanos"] for entry in entries if entry["outcome"] == "success")
    hits = [
        (entry["amount_nanos"], entry["saved_nanos"]) for entry in entries if entry["outcome"] != "success"
    ]
    assert [(0, charged)] * 31 == hits


async def test_a_leader_that_fails_is_followed_by_one(two: Two) -> None:
    """The provider fails once: who asked it gets the error, another asks again, the others wait."""
    fault = {"fault": "500", "count": 1}
    async with two[0].session.put(f"{two[0].provider.url}/demo/faults", json=fault) as done:
        assert done.status < 300, await done.text()
    answers = await ask_all(two, "What is the capital of France?", 20)

    statuses = Counter(answer.status for answer in answers)
    assert {200: 19} == {status: count for status, count in statuses.items() if status == 200}
    assert 2 == len(await two[0].served())


async def test_a_leader_that_goes_away_frees_the_others(two: Two) -> None:
    """At once, not only after its lease; one of them leads."""
    leader = asyncio.ensure_future(two[0].ask("Who leads? demo:first=30"))

    async def asked() -> bool:
        return len(await two[0].served()) == 1

    await eventually(asked, "the leader's call reaches the provider")
    others = [asyncio.ensure_future(two[number % 2].ask("Who leads? demo:first=30")) for number in range(6)]

    await eventually(lambda: two.replicas.waiting_count == 6, "the others wait")
    leader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leader

    async def one_more() -> bool:
        return len(await two[0].served()) == 2

    await eventually(one_more, "one of the others leads")
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def test_an_answer_that_may_not_be_stored_holds_up_nobody_twice(two: Two) -> None:
    """A cut answer is not replayed: all get one of their own, together."""
    answers = await ask_all(two, "Tell me a long story demo:tokens=50", 10, max_tokens=5)

    assert {("length", "MISS")} == {
        (answer.json["choices"][0]["finish_reason"], answer.headers["x-cache-status"]) for answer in answers
    }
    assert 10 == len(await two[0].served())


@pytest.mark.parametrize(
    "members", [{"stream": True}, {"cache": {"no-store": True}}, {"cache": {"no-cache": True}}]
)
async def test_who_may_not_share_does_not_wait(two: Two, members: dict[str, Any]) -> None:
    """Streams would wait for the whole answer; the others said that they do not want it."""
    answers = await ask_all(two, "What is the capital of France?", 4, **members)

    assert {200} == {answer.status for answer in answers}
    assert 4 == len(await two[0].served())


async def test_other_tenants_do_not_wait(two: Two) -> None:
    """Each has a call of its own."""
    keys = [await two[0].new_key(team_id=name) for name in ("one", "two")]
    answers = await asyncio.gather(*(two[0].ask(f"Hello {SLOW}", key) for key in keys for _ in range(3)))

    assert {200} == {answer.status for answer in answers}
    assert 2 == len(await two[0].served())


async def test_a_store_is_found_by_the_other_replica(two: Two) -> None:
    """As soon as it is stored."""
    for number in range(10):
        await two[0].ask(f"Question {number}")

        async def is_hit(number: int = number) -> bool:
            return (await two[1].ask(f"Question {number}")).headers["x-cache-status"] == "HIT"

        await eventually(is_hit, "the other replica finds it")
