"""Requests that took several provider calls, or another model: each is paid for, and no budget is passed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshgate_router.recovery import RECOVERIES_MAX
from tests.mesh.subject import Answer, Subject, subject_with
from tests.support.eventually import eventually

CONFIG = """
model_list:
  - model_name: story
    litellm_params: &first
      {{model: openai/a, api_base: "{url}/v1", api_key: sk-provider-secret, weight: 1,
        input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
    model_info: {{id: a}}
  - model_name: story
    litellm_params:
      {{model: anthropic/b, api_base: "{url}", api_key: sk-ant-provider-secret, weight: 0,
        input_cost_per_token: 0.000003, output_cost_per_token: 0.000015}}
    model_info: {{id: b}}
  - model_name: cheap
    litellm_params: {{<<: *first, model: openai/cheap}}
  - model_name: away
    litellm_params: {{<<: *first, model: openai/away, api_base: "http://127.0.0.1:9/v1"}}
  - model_name: lonely
    litellm_params: {{<<: *first, model: openai/lonely}}
  - model_name: dear
    litellm_params: {{<<: *first, model: openai/dear, output_cost_per_token: 0.0002}}
  - model_name: unpriced
    litellm_params: {{model: openai/nobody-knows-me, api_base: "{url}/v1", api_key: sk-provider-secret}}
router_settings:
  num_retries: 0
  allowed_fails: 1000000
  fallbacks: [{{cheap: [dear]}}, {{away: [unpriced]}}, {{lonely: [unpriced]}}, {{dear: [cheap]}}]
"""
PRICES = {"a": (1_000, 2_000), "b": (3_000, 15_000)}
DEAR, CHEAP = 200_000, 2_000  # of an output token


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


async def entries(subject: Subject, count: int) -> list[dict[str, Any]]:
    """All, the call that answered first, then its legs."""

    async def found() -> list[dict[str, Any]]:
        rows = await subject.entries()
        return rows if len(rows) >= count else []

    rows = await eventually(found, f"{count} entries")
    assert count == len(rows)
    return sorted(rows, key=lambda row: row["leg"])


def charge(row: dict[str, Any]) -> int:
    prompt, output = PRICES[row["deployment_id"]]
    return prompt * int(row["prompt_tokens"]) + output * int(row["completion_tokens"])


def models(requests: list[dict[str, Any]]) -> list[str]:
    return [request["model"] for request in requests]


async def tell(subject: Subject, key: str | None = None, tokens: int = 30, **members: Any) -> Answer:
    return await subject.ask(
        f"A story demo:tokens={tokens} demo:delay=0.005", key, model="story", stream=True, **members
    )


@pytest.mark.parametrize("budget", [None, 5.0])
async def test_usage_of_a_continued_answer_is_that_of_the_whole(
    subject: Subject, budget: float | None
) -> None:
    """The prompt is the client's own, the output all that it saw; the ledger has each call for itself. With a
    budget it is the edge that lets another call go on, without one the router."""
    await subject.fail_next("cut_mid_stream:9@a")
    key = await subject.new_key(max_budget=budget) if budget else None
    answer = await tell(subject, key, stream_options={"include_usage": True})
    main, leg = await entries(subject, 2)

    usage = answer.events[-2]["usage"]
    assert "[DONE]" == answer.events[-1]
    assert ["a", "b"] == models(await subject.served())
    assert ("b", "a", "stream_broken") == (main["deployment_id"], leg["deployment_id"], leg["leg_reason"])
    assert ("success", "success") == (main["outcome"], leg["outcome"])
    assert leg["prompt_tokens"] == usage["prompt_tokens"] < main["prompt_tokens"]
    assert main["completion_tokens"] + leg["completion_tokens"] == usage["completion_tokens"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert 28 <= usage["completion_tokens"] <= 34
    assert (charge(main), charge(leg)) == (main["amount_nanos"], leg["amount_nanos"])


@pytest.mark.parametrize("budget", [None, 5.0])
async def test_an_answer_that_breaks_again_is_a_failure_with_costs(
    subject: Subject, budget: float | None
) -> None:
    """The client gets an error, and all calls are paid for, each at its own price. The last one is the main
    entry, the others its legs."""
    assert 3 == RECOVERIES_MAX
    cuts = [f"cut_mid_stream:{n}@{who}" for n, who in ((9, "a"), (6, "b"), (6, "a"), (6, "b"))]
    await subject.fail_next(*cuts)
    answer = await tell(subject, await subject.new_key(max_budget=budget) if budget else None)
    rows = await entries(subject, 1 + RECOVERIES_MAX)

    assert "error" in answer.events[-1]
    assert ["a", "b", "a", "b"] == models(await subject.served())
    assert ["b", "a", "b", "a"] == [row["deployment_id"] for row in rows]
    assert all(row["outcome"] == "failure" and row["estimated"] for row in rows)
    assert ["", "stream_broken", "stream_broken", "stream_broken"] == [row["leg_reason"] for row in rows]
    assert "PROVIDER_STREAM_BROKEN" == rows[0]["error_reason"]
    assert all(0 < row["completion_tokens"] <= 10 for row in rows)
    assert all(row["prompt_tokens"] >= rows[1]["prompt_tokens"] > 0 for row in rows)
    assert [charge(row) for row in rows] == [row["amount_nanos"] for row in rows]


@pytest.mark.parametrize("budget", [None, 5.0])
async def test_who_leaves_a_continued_answer_pays_for_both_calls(
    subject: Subject, budget: float | None
) -> None:
    """The edge knows of the second call as soon as there is one."""
    await subject.fail_next("cut_mid_stream:9@a")
    key = await subject.new_key(max_budget=budget) if budget else None
    body = {
        "model": "story",
        "stream": True,
        "messages": [{"role": "user", "content": "A story demo:tokens=400 demo:delay=0.02"}],
    }
    url = f"{subject.mesh.url}/v1/chat/completions"
    async with subject.session.post(url, json=body, headers=subject.headers(key)) as answer:
        for _ in range(60):  # two lines an event: far behind the cut
            assert await answer.content.readline()
        answer.close()
    main, leg = await entries(subject, 2)

    assert [("b", "cancelled"), ("a", "cancelled")] == [
        (row["deployment_id"], row["outcome"]) for row in (main, leg)
    ]
    assert main["completion_tokens"] > 0
    assert (charge(main), charge(leg)) == (main["amount_nanos"], leg["amount_nanos"])


async def test_a_fallback_that_the_budget_does_not_pay_for_is_not_called(subject: Subject) -> None:
    """The client gets the error of the model that it asked for; nothing is charged, nothing stays held."""
    await subject.fail_next("500@cheap")
    key = await subject.new_key(max_budget=0.01)
    answer = await subject.ask("Hello demo:tokens=100", key, model="cheap", max_tokens=100)
    (entry,) = await entries(subject, 1)

    assert 500 == answer.status
    assert ["cheap"] == models(await subject.served())
    assert (0, "failure") == (entry["amount_nanos"], entry["outcome"])
    again = await subject.ask("Hello demo:tokens=100", key, model="cheap", max_tokens=100)
    assert 200 == again.status, "the hold was given back"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fallback_that_the_budget_pays_for_is_called(subject: Subject, stream: bool) -> None:
    """At its own price."""
    await subject.fail_next("500@cheap")
    key = await subject.new_key(max_budget=0.05)
    answer = await subject.ask("Hello demo:tokens=90", key, model="cheap", max_tokens=100, stream=stream)
    (entry,) = await entries(subject, 1)

    assert (200, "1") == (answer.status, answer.headers["x-litellm-attempted-fallbacks"])
    assert ["cheap", "dear"] == models(await subject.served())
    assert ("dear", "success") == (entry["model_group"], entry["outcome"])
    assert 1_000 * entry["prompt_tokens"] + DEAR * 90 == entry["amount_nanos"]


async def test_a_fallback_that_breaks_off_is_told_as_that(subject: Subject) -> None:
    """Not as the failure of the model that was asked for; what was sent is paid for."""
    await subject.fail_next("500@cheap", "cut_mid_stream:9@dear")
    key = await subject.new_key(max_budget=0.05)
    text = "Hello demo:tokens=90 demo:delay=0.005"
    answer = await subject.ask(text, key, model="cheap", max_tokens=100, stream=True)
    (entry,) = await entries(subject, 1)

    assert "the connection to the provider broke" in answer.events[-1]["error"]["message"]
    assert ("dear", "PROVIDER_STREAM_BROKEN") == (entry["model_group"], entry["error_reason"])
    assert 1_000 * entry["prompt_tokens"] + DEAR * entry["completion_tokens"] == entry["amount_nanos"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dearer_fallback_never_passes_the_cap(subject: Subject, stream: bool) -> None:
    """Many at a time, of a model whose provider is down, while the fallback costs a hundred times as much."""
    await subject.fail_next(*["500@cheap"] * 30)
    key = await subject.new_key(max_budget=0.1)
    limits = {"max_tokens": 100, "stream": stream}
    answers = await asyncio.gather(
        *(subject.ask(f"Hello {n} demo:tokens=90", key, model="cheap", **limits) for n in range(30))
    )
    rows = await entries(subject, 30)
    spent = sum(row["amount_nanos"] for row in rows)
    dear = [row for row in rows if row["model_group"] == "dear"]

    assert {200, 429, 500} >= {answer.status for answer in answers}
    assert 4 <= len(dear) <= 6
    assert 50_000_000 < spent <= 100_000_000


async def test_a_cheaper_fallback_needs_no_more(subject: Subject) -> None:
    """Its hold is there already, to the last of the budget."""
    await subject.fail_next("500@dear")
    key = await subject.new_key(max_budget=0.0205)
    answer = await subject.ask("Hello demo:tokens=90", key, model="dear", max_tokens=100)
    (entry,) = await entries(subject, 1)

    assert 200 == answer.status
    assert 1_000 * entry["prompt_tokens"] + CHEAP * 90 == entry["amount_nanos"]


async def test_a_fallback_without_a_price_is_not_called_for_a_budget(subject: Subject) -> None:
    """The error says so, before anything costs money; a key without a budget may call it."""
    key, free = await subject.new_key(max_budget=1.0), await subject.new_key()
    refused = await subject.ask("Hello", key, model="away")
    assert [] == await subject.served()
    served = await subject.ask("Hello", free, model="away")

    assert 400 <= refused.status < 500
    assert "price of the model 'unpriced' is not known" in refused.json["error"]["message"]
    assert 200 == served.status
    void, entry = sorted(await subject.entries(), key=lambda row: str(row["kind"] == "charge"))
    assert ("void", 0) == (void["kind"], void["amount_nanos"])
    assert (None, "unpriced", True) == (entry["price"], entry["model_group"], entry["estimated"])


async def test_fallbacks_of_embeddings_are_paid_for_first(subject: Subject) -> None:
    """As those of conversations."""
    key, free = await subject.new_key(max_budget=1.0), await subject.new_key()
    body = {"model": "away", "input": "Hello"}
    refused = await subject.post("/v1/embeddings", body, key)
    served = await subject.post("/v1/embeddings", body, free)

    assert "price of the model 'unpriced' is not known" in refused.json["error"]["message"]
    assert 200 == served.status


async def test_a_stream_of_a_key_that_is_blocked_ends_where_its_hold_does(subject: Subject) -> None:
    """With a typed error; what was sent is paid for, and not more than was held."""
    key = await subject.new_key(max_budget=1.0)
    body = {
        "model": "cheap",
        "stream": True,
        "messages": [{"role": "user", "content": "Go on demo:tokens=9000 demo:delay=0.0005"}],
    }
    url = f"{subject.mesh.url}/v1/chat/completions"
    async with subject.session.post(url, json=body, headers=subject.headers(key)) as answer:
        first = [await answer.content.readline() for _ in range(4)]
        blocked = await subject.post("/key/block", {"key": key})
        rest = await answer.content.read()
    (entry,) = await entries(subject, 1)
    told = Answer(answer.status, answer.headers, b"".join(first) + rest).events
    seen = sum(len(event["choices"]) for event in told[:-1] if event["choices"][0]["delta"].get("content"))

    assert (200, 200) == (blocked.status, answer.status)
    assert "This key was blocked or deleted." in told[-1]["error"]["message"]
    assert seen == entry["completion_tokens"] < 9_000
    assert ("failure", "KEY_BLOCKED") == (entry["outcome"], entry["error_reason"])


async def test_an_answer_with_a_budget_is_continued_far_from_its_end(subject: Subject) -> None:
    """The hold is raised for the other call's prompt and price; the entries are what was sent."""
    await subject.fail_next("cut_mid_stream:9@a")
    key = await subject.new_key(max_budget=5.0)
    answer = await tell(subject, key, tokens=900)
    main, leg = await entries(subject, 2)

    assert "[DONE]" == answer.events[-1]
    assert (charge(main), charge(leg)) == (main["amount_nanos"], leg["amount_nanos"])
    assert main["held_nanos"] > charge(main) + charge(leg)


async def test_a_priced_fallback_goes_on_with_an_answer_that_has_a_budget(subject: Subject) -> None:
    """Its hold is raised to the fallback's price before its next chunk leaves; one without a price is not
    asked."""
    await subject.fail_next("cut_mid_stream:9@cheap", "cut_mid_stream:9@lonely")
    key = await subject.new_key(max_budget=5.0)
    text = "A story demo:tokens=30 demo:delay=0.005"
    answer = await subject.ask(text, key, model="cheap", stream=True)
    broken = await subject.ask(text, key, model="lonely", stream=True)
    rows = await entries(subject, 3)

    assert "[DONE]" == answer.events[-1]
    assert "error" in broken.events[-1]
    assert ["cheap", "dear", "lonely"] == models(await subject.served())
    assert ["cheap", "dear", "lonely"] == sorted(row["model_group"] for row in rows)
    (dear,) = (row for row in rows if row["model_group"] == "dear")
    assert 1_000 * dear["prompt_tokens"] + DEAR * dear["completion_tokens"] == dear["amount_nanos"]


@pytest.mark.parametrize(("stream", "budget"), [(True, 0.0065), (False, 0.02)])
async def test_an_answer_is_continued_to_the_end_of_its_budget(
    subject: Subject, stream: bool, budget: float
) -> None:
    """What is left of its hold pays for the other call; also of an answer in one piece, of which nobody knows
    how long it will be."""
    await subject.fail_next("cut_mid_stream:9@a")
    key = await subject.new_key(max_budget=budget)
    limits = {"max_tokens": 400} if stream else {}
    text = "A story demo:tokens=30 demo:delay=0.005"
    answer = await subject.ask(text, key, model="story", stream=stream, **limits)
    main, leg = await entries(subject, 2)

    assert 200 == answer.status
    assert ["a", "b"] == models(await subject.served())
    assert (charge(main), charge(leg)) == (main["amount_nanos"], leg["amount_nanos"])
    assert "stream_broken" == leg["leg_reason"]
    assert main["amount_nanos"] + leg["amount_nanos"] <= budget * 1e9


async def test_an_answer_is_not_continued_beyond_its_budget(subject: Subject) -> None:
    """The other call is not made: the client gets an error, the cap is kept."""
    await subject.fail_next("cut_mid_stream:9@cheap")
    key = await subject.new_key(max_budget=0.01)
    text = "A story demo:tokens=30 demo:delay=0.005"
    answer = await subject.ask(text, key, model="cheap", stream=True, max_tokens=400)
    (entry,) = await entries(subject, 1)

    assert "error" in answer.events[-1]
    assert ["cheap"] == models(await subject.served())
    assert ("cheap", "PROVIDER_STREAM_BROKEN") == (entry["model_group"], entry["error_reason"])
    assert 1_000 * entry["prompt_tokens"] + CHEAP * entry["completion_tokens"] == entry["amount_nanos"]


async def test_a_call_that_nobody_goes_on_with_is_paid_for_once(subject: Subject) -> None:
    """What was sent, and no prompt of those who were asked in vain."""
    await subject.fail_next("cut_mid_stream:9@a", "500@b")
    key = await subject.new_key(max_budget=5.0)
    answer = await tell(subject, key)
    (entry,) = await entries(subject, 1)

    assert "the connection to the provider broke" in answer.events[-1]["error"]["message"]
    assert ["a", "b"] == models(await subject.served())
    assert ("a", "PROVIDER_STREAM_BROKEN") == (entry["deployment_id"], entry["error_reason"])
    assert charge(entry) == entry["amount_nanos"]
    assert 0 < entry["completion_tokens"] <= 10
