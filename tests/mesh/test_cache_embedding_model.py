"""The semantic cache with vectors of a model of the configuration: what hits, who pays, what may fail."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from meshgate_cache.semantic.model import packaged_files
from tests.mesh.subject import Subject
from tests.mesh.two_replicas import CAPITAL, CAPITAL_CITY, TRAP, Two, config_of, status, two
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_replicas import mesh_replicas
from tests.support.redis_server import redis_server, redis_url

__all__ = ["redis_server", "redis_url", "two"]

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")


def vectors(two: Two, result: str) -> float:
    """Of the first edge, by its metrics."""
    name = "meshgate_edge_vectors_total"
    return two.replicas.edges[0].get_sample_value(name, {"result": result}) or 0.0


async def test_other_words_hit_and_traps_do_not(two: Two) -> None:
    """On either replica; the similarity is that of the configured model. Each text is embedded once."""
    miss = await two.stored(CAPITAL)
    hits = [await two[number].ask(CAPITAL_CITY) for number in (0, 1, 0)]
    trap = await two[1].ask(TRAP)

    assert ["MISS", "HIT", "HIT", "HIT", "MISS"] == [status(each) for each in (miss, *hits, trap)]
    assert {miss.json["id"]} == {hit.json["id"] for hit in hits}
    assert {0.926} == {round(float(hit.headers["x-litellm-semantic-similarity"]), 3) for hit in hits}
    assert [CAPITAL, CAPITAL_CITY, TRAP] == await two.embedded()


async def test_the_operator_pays_for_vectors(two: Two) -> None:
    """As an entry of its own, with a tag; who asked pays for the answer only, and nothing for a hit."""
    key = await two[0].new_key(max_budget=1.0)
    await two.stored(CAPITAL, key)
    hit = await two[0].ask(CAPITAL_CITY, key)

    async def posted() -> list[dict[str, Any]]:
        entries = await two[0].entries()
        return entries if len(entries) == 4 else []

    assert 0 == float(hit.headers["x-litellm-response-cost"])
    entries = await eventually(posted, "all calls are on the books")
    vectors = [entry for entry in entries if entry["call_type"] == "aembedding"]
    chats = [entry for entry in entries if entry["call_type"] == "acompletion"]
    assert [700, 800] == sorted(entry["amount_nanos"] for entry in vectors)
    assert {"meshgate-semantic-cache"} == {tag for entry in vectors for tag in entry["tags"]}
    assert {"success", "cache_hit"} == {str(entry["outcome"]) for entry in chats}
    spent = (await two[0].get("/key/info", key)).json["info"]["spend"]
    assert sum(entry["amount_nanos"] for entry in chats) == round(spent * 1e9)


@pytest.mark.parametrize("fault", ["500", "429", "slow_drip:30", "401"])
async def test_a_model_that_fails_or_is_late_is_a_miss(two: Two, fault: str) -> None:
    """No error, and no wait beyond the limit; when it is back, the rest is found again."""
    await two.stored(CAPITAL)
    await two.fault(fault)
    async with asyncio.timeout(20):  # of the provider's 30 s
        missed = await two[0].ask(CAPITAL_CITY)
    await two.fault(None)

    assert "MISS" == status(missed)
    assert (1, fault != "slow_drip:30") == (vectors(two, "in_time"), vectors(two, "failed"))
    # The other edge has not seen it fail.
    assert "HIT" == status(await two[1].ask("what is the capital city of france"))


async def test_a_vector_that_is_late_is_learned_from(two: Two) -> None:
    """The answer is stored at once, for equal requests; the question is known when its vector comes."""
    await two.fault("slow_drip:0.8")
    await two.stored(CAPITAL)
    await two.fault(None)

    assert "HIT" == status(await two[1].ask(CAPITAL_CITY))
    assert [CAPITAL, CAPITAL_CITY] == await two.embedded()


async def test_no_tenant_finds_the_vectors_of_another(two: Two) -> None:
    """Nor their answers: the same text is embedded for each."""
    one, other = [await two[0].new_key(team_id=name) for name in ("one", "other")]
    await two.stored(CAPITAL, one)
    same = await two.stored(CAPITAL, other)
    third = await two[0].ask(CAPITAL_CITY, await two[0].new_key(team_id="third"))

    assert ("MISS", "MISS") == (status(same), status(third))
    assert [CAPITAL, CAPITAL] == (await two.embedded())[:2]


async def test_equal_texts_at_the_same_time_are_embedded_once(two: Two) -> None:
    """By an edge; all get the answer to the question that means the same."""
    await two.stored(CAPITAL)
    await two.fault("slow_drip:0.1")
    calls = [two[0].ask(CAPITAL_CITY, stream=number % 2 == 0) for number in range(16)]
    answers = await asyncio.gather(*calls)

    assert {"HIT"} == {status(answer) for answer in answers}
    assert [CAPITAL, CAPITAL_CITY] == await two.embedded()


async def test_another_model_starts_anew(postgres_dsn: str, redis_url: str) -> None:
    """Under the same name: its vectors are compared with none of the old ones, on the same Redis."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    statuses = []
    try:
        async with demo_provider() as provider, aiohttp.ClientSession() as session:
            for number, model in enumerate(("embed-words", "other-words", "embed-words")):
                config = config_of(redis_url).format(url=provider.url).replace("embed-words", model)
                (folder / str(number)).mkdir()
                async with mesh_replicas(config, folder / str(number), postgres_dsn) as replicas:
                    two = Two(Subject(mesh, provider, session) for mesh in replicas.meshes).of(replicas)
                    if not number:
                        await two.stored(CAPITAL)
                    statuses.append(status(await two[1].ask(CAPITAL_CITY, cache={"no-store": True})))
    finally:
        shutil.rmtree(folder)

    assert ["HIT", "MISS", "HIT"] == statuses
