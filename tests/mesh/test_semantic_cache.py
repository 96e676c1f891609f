"""The semantic cache through the whole mesh: what a client sees of a hit, and what the ledger says."""

from collections.abc import AsyncIterator

import pytest

from meshgate_cache.semantic.model import packaged_files
from tests.mesh.subject import CONFIG, Answer, Subject, subject_with
from tests.support.eventually import eventually

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")

SEMANTIC = CONFIG.replace("type: local,", "type: local-semantic, similarity_threshold: 0.8,")
CAPITAL = "What is the capital of France?"
CAPITAL_CITY = "What is the capital city of France?"
POPULATION = "What is the population of Paris?"


@pytest.fixture
async def semantic(postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh whose cache compares meanings."""
    async with subject_with(SEMANTIC, postgres_dsn) as made:
        yield made


async def stored(subject: Subject, text: str, key: str | None = None) -> Answer:
    """Asks, and waits until the answer is in the cache."""
    first = await subject.ask(text, key)

    async def is_stored() -> bool:
        return (await subject.ask(text, key)).headers["x-cache-status"] == "HIT"

    await eventually(is_stored, "the answer is stored")
    return first


async def test_a_question_in_other_words_is_answered_from_the_cache(semantic: Subject) -> None:
    """Marked, with its similarity, for nothing; the ledger knows what it saved."""
    miss = await stored(semantic, CAPITAL)
    hit = await semantic.ask(CAPITAL_CITY)
    other = await semantic.ask(POPULATION)

    assert miss.json["choices"] == hit.json["choices"]
    assert ("HIT", "MISS") == (hit.headers["x-cache-status"], other.headers["x-cache-status"])
    assert 0.8 <= float(hit.headers["x-litellm-semantic-similarity"]) < 1
    assert hit.headers["x-meshgate-cache-source-key"] != hit.headers["x-litellm-cache-key"]
    assert 0 == float(hit.headers["x-litellm-response-cost"])
    assert 2 == len(await semantic.served())
    entry = (await semantic.entries())[-2]
    assert ("cache_hit", 0) == (str(entry["outcome"]), entry["amount_nanos"])
    assert entry["saved_nanos"] > 0


async def test_a_semantic_hit_is_streamed_like_a_miss(semantic: Subject) -> None:
    """The same text, role, finish reason and usage."""
    miss = await stored(semantic, CAPITAL)
    hit = await semantic.ask(CAPITAL_CITY, stream=True, stream_options={"include_usage": True})

    assert "x-litellm-semantic-similarity" in hit.headers
    *events, done = hit.events
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert miss.json["choices"][0]["message"]["content"] == "".join(
        delta.get("content") or "" for delta in deltas
    )
    assert "[DONE]" == done
    assert miss.json["usage"]["total_tokens"] == events[-1]["usage"]["total_tokens"]


async def test_feedback_ends_a_wrong_hit(semantic: Subject) -> None:
    """By the two keys of the headers; for administrators only."""
    key = await semantic.new_key()
    await stored(semantic, CAPITAL, key)
    hit = await semantic.ask(CAPITAL_CITY, key)
    wrong = {
        "cache_key": hit.headers["x-litellm-cache-key"],
        "source_key": hit.headers["x-meshgate-cache-source-key"],
    }

    assert 401 == (await semantic.post("/cache/feedback", wrong, key)).status
    assert 422 == (await semantic.post("/cache/feedback", {"cache_key": "x"})).status
    assert 400 == (await semantic.post("/cache/feedback", {"cache_key": "x", "source_key": "y"})).status
    assert 200 == (await semantic.post("/cache/feedback", wrong)).status
    assert "MISS" == (await semantic.ask(CAPITAL_CITY, key)).headers["x-cache-status"]
    stats = (await semantic.get("/cache/stats")).json
    (namespace,) = stats["namespaces"].values()
    assert (1, 1) == (namespace["semantic_hits"], namespace["false_hit_reports"])


async def test_other_keys_do_not_share_answers(semantic: Subject) -> None:
    """Neither equal nor similar questions."""
    one, two = await semantic.new_key(team_id="one"), await semantic.new_key(team_id="two")
    await stored(semantic, CAPITAL, one)

    assert "MISS" == (await semantic.ask(CAPITAL_CITY, two)).headers["x-cache-status"]


async def test_management_of_the_cache(semantic: Subject) -> None:
    """An answer, or all of them, can be deleted; only by administrators."""
    key = await semantic.new_key()
    await stored(semantic, CAPITAL)
    hit = await semantic.ask(CAPITAL)

    for path, body in (("/cache/delete", {"keys": ["x"]}), ("/cache/flushall", {})):
        assert 401 == (await semantic.post(path, body, key)).status
    assert 401 == (await semantic.get("/cache/stats", key)).status
    deleted = await semantic.post("/cache/delete", {"keys": [hit.headers["x-litellm-cache-key"]]})
    assert {"status": "success", "deleted": 1} == deleted.json
    await stored(semantic, CAPITAL)
    assert 1 == (await semantic.post("/cache/flushall", {})).json["deleted"]
    assert "MISS" == (await semantic.ask(CAPITAL_CITY)).headers["x-cache-status"]


async def test_no_store_is_not_learned(semantic: Subject) -> None:
    """Neither for equal nor for similar questions."""
    await semantic.ask(CAPITAL, cache={"no-store": True})
    await stored(semantic, POPULATION)  # stores are done in order

    assert "MISS" == (await semantic.ask(CAPITAL_CITY)).headers["x-cache-status"]
