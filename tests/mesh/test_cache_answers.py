"""Which answers a request may get from the cache: those of its own model and prompt, and no others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.mesh.subject import Answer, Subject, subject_with
from tests.support.eventually import eventually

CONFIG = """
model_list:
  - model_name: large
    litellm_params: {{model: openai/large, api_base: "{url}/v1", api_key: x, tags: [paid]}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
  - model_name: large
    litellm_params: {{model: openai/free, api_base: "{url}/v1", api_key: x, tags: [free]}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
  - model_name: small
    litellm_params: {{model: openai/small, api_base: "{url}/v1", api_key: x, tags: [paid, free]}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
router_settings:
  num_retries: 0
  enable_tag_filtering: true
  fallbacks: [{{large: [small]}}]
litellm_settings:
  cache: true
  cache_params: {{type: local, ttl: 600}}
"""
PAID = {"tags": ["paid"]}


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh whose models have fallbacks, tags and a cache."""
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


async def ask(subject: Subject, text: str, **members: Any) -> Answer:
    answer = await subject.ask(text, **{"model": "large", **PAID, **members})
    assert 200 == answer.status, answer.body
    return answer


async def stored(subject: Subject, text: str, **members: Any) -> Answer:
    """Asks, and waits until a repeat comes from the cache."""
    first = await ask(subject, text, **members)

    async def is_stored() -> bool:
        return (await ask(subject, text, **members)).headers["x-cache-status"] == "HIT"

    await eventually(is_stored, "the answer is stored")
    return first


async def fault(subject: Subject, name: str) -> None:
    """Of the next request to the large model."""
    wanted = {"fault": name, "count": 1, "model": "large"}
    async with subject.session.put(f"{subject.provider.url}/demo/faults", json=wanted) as done:
        assert done.status < 300, await done.text()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["500", "cut_mid_stream"])
async def test_an_answer_of_a_fallback_is_nobody_elses(subject: Subject, stream: bool, name: str) -> None:
    """Neither whole nor the rest of one that broke off: who asks next is answered by the model itself."""
    await fault(subject, name)
    rescued = await ask(subject, "Who are you?", stream=stream)
    await stored(subject, "another question")  # stored later: the first would be there by now
    served = [request["body"]["model"] for request in await subject.served()]
    again = await ask(subject, "Who are you?")

    assert [200, 200] == [rescued.status, again.status]
    assert ["large", "small"] == served[:2]
    assert ("MISS", "large") == (again.headers["x-cache-status"], again.json["model"])


async def test_a_shortened_prompt_has_its_own_answers(subject: Subject) -> None:
    """What may have been answered without half of it is not given to who wants all of it to be read."""
    text = " ".join(f"Keeper {n} wrote of the weather, and it was fine on day {n}." for n in range(120))
    short = {"compression": {"min_tokens": 0, "guard": False}}
    shortened = await stored(subject, text, **short)
    whole = await ask(subject, text)

    assert "x-meshgate-compression" in shortened.headers
    assert "MISS" == whole.headers["x-cache-status"]


async def test_tags_that_choose_the_model_choose_the_answer(subject: Subject) -> None:
    """Two deployments of one name may be two models; equal tags share."""
    paid = await stored(subject, "What is the capital of France?")
    free = await ask(subject, "What is the capital of France?", tags=["free"])

    assert ("large", "free") == (paid.json["model"], free.json["model"])
    assert "MISS" == free.headers["x-cache-status"]


async def test_a_hit_under_an_alias_is_of_the_model(subject: Subject) -> None:
    """The key's name for it is nobody else's; to another key of its team it may be another model."""
    team_id = (await subject.post("/team/new", {"team_alias": "one"})).json["team_id"]
    first = await subject.new_key(aliases={"mine": "large"}, team_id=team_id)
    second = await subject.new_key(aliases={"mine": "small"}, team_id=team_id)
    large = await stored(subject, "Who are you?", model="mine", key=first)
    hit = await ask(subject, "Who are you?", model="mine", key=first)
    small = await ask(subject, "Who are you?", model="mine", key=second)

    assert ("HIT", "large") == (hit.headers["x-cache-status"], hit.headers["x-litellm-model-group"])
    assert ("large", "small") == (large.json["model"], small.json["model"])
