"""Embeddings from the cache, input by input: what is sent upstream, what is charged, what a client sees."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.mesh.subject import CONFIG, Answer, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import mesh_in_process

EMBEDDINGS = "/v1/embeddings"
OTHER_MODELS = """- model_name: embedder
    litellm_params: {{model: openai/demo, api_base: "{url}/v1", api_key: x}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
  - model_name: other
    litellm_params: {{model: openai/demo-two, api_base: "{url}/v1", api_key: x}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
"""


async def embed(subject: Subject, *inputs: str, key: str | None = None, **members: Any) -> Answer:
    body = {"model": "demo", "input": list(inputs), **members}
    answer = await subject.post(EMBEDDINGS, body, key)
    assert 200 == answer.status, answer.body
    return answer


async def stored(subject: Subject, *inputs: str, key: str | None = None, **members: Any) -> Answer:
    """Asks, and waits until a repeat comes from the cache."""
    first = await embed(subject, *inputs, key=key, **members)

    async def is_stored() -> bool:
        again = await embed(subject, *inputs, key=key, **members)
        return again.headers["x-cache-status"] == "HIT"

    await eventually(is_stored, "the vectors are stored")
    return first


async def entry_of(subject: Subject, answer: Answer) -> dict[str, Any]:
    """Its only entry."""
    (entry,) = await entries_of(subject, answer)
    return entry


async def entries_of(subject: Subject, answer: Answer) -> list[dict[str, Any]]:
    """They may be posted after the answer."""
    call_id = answer.headers["x-litellm-call-id"]

    async def posted() -> list[dict[str, Any]]:
        return [entry for entry in await subject.entries() if str(entry["request_id"]) == call_id]

    return await eventually(posted, "the call is on the books")


def vectors(answer: Answer) -> list[list[float]]:
    return [item["embedding"] for item in answer.json["data"]]


async def test_only_what_is_missing_is_asked_for_and_charged(subject: Subject) -> None:
    """Vectors come in the order of the inputs; usage is of all of them, cost of the new ones."""
    fresh = await embed(subject, "three", "one more", "two", cache={"no-cache": True, "no-store": True})
    await stored(subject, "one more", "two")
    mixed = await embed(subject, "three", "one more", "two")

    assert vectors(fresh) == vectors(mixed)
    assert fresh.json["usage"] == mixed.json["usage"]
    assert ("MISS", "2") == (mixed.headers["x-cache-status"], mixed.headers["x-meshgate-cached-inputs"])
    assert ["three"] == (await subject.served())[-1]["body"]["input"]
    entry = await entry_of(subject, mixed)
    assert ("success", 1_000, 3_000) == (entry["outcome"], entry["amount_nanos"], entry["saved_nanos"])
    assert 1 == entry["prompt_tokens"]
    assert 0.000001 == pytest.approx(float(mixed.headers["x-litellm-response-cost"]))


async def test_when_all_are_known_it_is_a_hit(subject: Subject) -> None:
    """For nothing, without a call to the provider; the ledger knows what it saved."""
    fresh = await stored(subject, "one", "two words")
    calls = len(await subject.served())
    hit = await embed(subject, "two words", "one")

    assert vectors(fresh) == vectors(hit)[::-1]
    assert fresh.json["usage"] == hit.json["usage"]
    assert (fresh.json["model"], "HIT") == (hit.json["model"], hit.headers["x-cache-status"])
    assert 0 == float(hit.headers["x-litellm-response-cost"])
    assert calls == len(await subject.served())
    entry = await entry_of(subject, hit)
    assert ("cache_hit", 0, 3_000) == (entry["outcome"], entry["amount_nanos"], entry["saved_nanos"])
    assert ("aembedding", 3) == (entry["call_type"], entry["prompt_tokens"])


async def test_a_key_of_the_header_can_be_deleted(subject: Subject) -> None:
    """Then the input is asked for again."""
    await stored(subject, "one")
    hit = await embed(subject, "one")
    deleted = await subject.post("/cache/delete", {"keys": [hit.headers["x-litellm-cache-key"]]})

    assert 1 == deleted.json["deleted"]
    assert "MISS" == (await embed(subject, "one")).headers["x-cache-status"]


async def test_other_parameters_and_tenants_share_nothing(subject: Subject) -> None:
    """Dimensions, user, namespace, further members, kind of input, key's team."""
    one, two = await subject.new_key(team_id="one"), await subject.new_key(team_id="two")
    await stored(subject, "one", key=one)

    for members in (
        {"dimensions": 7},
        {"user": "u"},
        {"input_type": "query"},
        {"cache": {"namespace": "other"}},
        {"cache": {"s-maxage": 0}},
        {"cache": {"no-cache": True}},
        {"input": [[1]]},
    ):
        answer = await embed(subject, "one", key=one, **members)
        assert "MISS" == answer.headers["x-cache-status"], members
    assert "MISS" == (await embed(subject, "one", key=two)).headers["x-cache-status"]


async def test_the_same_numbers_as_base64(subject: Subject) -> None:
    """How numbers are written is no part of what is asked for."""
    await stored(subject, "one")

    hit = await embed(subject, "one", encoding_format="base64")

    assert "HIT" == hit.headers["x-cache-status"]
    assert isinstance(hit.json["data"][0]["embedding"], str)


async def test_many_requests_at_once(subject: Subject) -> None:
    """Overlapping batches: each caller has the vectors of its own inputs."""
    texts = [f"text {number}" for number in range(20)]
    right = dict(zip(texts, vectors(await embed(subject, *texts, cache={"no-store": True})), strict=True))

    async def ask(number: int) -> None:
        mine = [texts[(number * 3 + at) % 20] for at in range(8)]
        assert [right[text] for text in mine] == vectors(await embed(subject, *mine))

    for _ in range(2):
        await asyncio.gather(*(ask(number) for number in range(10)))

    async def saved() -> bool:
        return any(row["saved_nanos"] for row in await subject.entries())

    await eventually(saved, "the cache saved money")


async def test_a_fallback_never_mixes_models(postgres_dsn: str) -> None:
    """What was found is asked for again beside a fallback's vectors; both calls are paid."""
    text = CONFIG.replace("- model_name: nowhere", OTHER_MODELS + "  - model_name: nowhere", 1)
    text = text.replace("{{rescued: [nowhere, demo]}}", "{{embedder: [other]}}")
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider, aiohttp.ClientSession() as session:
            async with mesh_in_process(text.format(url=provider.url), folder, postgres_dsn) as mesh:
                subject = Subject(mesh, provider, session)
                await stored(subject, "one", model="embedder")
                calls = len(await subject.served())
                faults = {"faults": [{"fault": "500", "count": 1, "model": "demo"}]}
                async with session.put(f"{provider.url}/demo/faults", json=faults) as done:
                    assert 200 == done.status, await done.text()
                mixed = await embed(subject, "one", "two", model="embedder")
                asked = [(each["body"]["input"], each["status"]) for each in (await subject.served())[calls:]]
                entries = await entries_of(subject, mixed)
    finally:
        shutil.rmtree(folder)

    assert [(["two"], 500), (["two"], 200), (["one", "two"], 200)] == asked
    assert 2 == len(mixed.json["data"])
    assert "x-meshgate-cached-inputs" not in mixed.headers
    assert [(1, 1_000), (2, 2_000)] == sorted((e["prompt_tokens"], e["amount_nanos"]) for e in entries)
    assert {0} == {entry["saved_nanos"] for entry in entries}
    assert 3 * 0.000001 == pytest.approx(float(mixed.headers["x-litellm-response-cost"]))
