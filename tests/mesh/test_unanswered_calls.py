"""A provider call that went out and brought no answer may be billed: it is on the books, and held for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.mesh.subject import Answer, Subject, subject_with
from tests.support.eventually import eventually

CONFIG = """
model_list:
  - model_name: demo
    litellm_params: &cheap
      model: openai/demo
      api_base: {url}/v1
      api_key: none
      timeout: 1
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: impatient
    litellm_params: {{<<: *cheap, num_retries: 0}}
  - model_name: rescued
    litellm_params: {{<<: *cheap, num_retries: 0, input_cost_per_token: 0.000004}}
router_settings:
  num_retries: 1
  retry_after: 0
  fallbacks: [{{rescued: [impatient]}}]
"""
TEXT = "Say something demo:tokens=4"
INPUT_NANOS, OUTPUT_NANOS = 1_000, 2_000


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh that waits a second for its provider."""
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


async def ask(subject: Subject, key: str | None = None, **members: Any) -> Answer:
    return await subject.ask(TEXT, key=key, max_tokens=10, cache={"no-cache": True}, **members)


async def booked(subject: Subject, count: int) -> list[dict[str, Any]]:
    """The entries by leg, once there are so many."""

    async def found() -> list[dict[str, Any]]:
        entries = await subject.entries()
        return sorted(entries, key=lambda entry: int(entry["leg"])) if len(entries) >= count else []

    entries = await eventually(found, f"{count} entries")
    assert count == len(entries)
    return entries


@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_before_first_chunk", "close_connection"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_does_not_hide_what_was_asked_before(
    subject: Subject, fault: str, stream: bool
) -> None:
    """Its prompt is an entry of its own, flagged; the answer's is exact."""
    await subject.fail_next(fault)
    answer = await ask(subject, stream=stream)

    call, lost = await booked(subject, 2)
    assert 200 == answer.status
    assert ("success", False, 4) == (call["outcome"], call["estimated"], call["completion_tokens"])
    assert ("unanswered", True, 0) == (lost["leg_reason"], lost["estimated"], lost["completion_tokens"])
    assert 0 < lost["prompt_tokens"] * INPUT_NANOS == lost["amount_nanos"]
    assert call["request_id"] == lost["request_id"]
    if not stream:
        told = float(answer.headers["x-litellm-response-cost"])
        assert call["amount_nanos"] + lost["amount_nanos"] == round(told * 1e9)


async def test_what_was_refused_costs_nothing(subject: Subject) -> None:
    """An HTTP status is an answer, also when it says that time was up."""
    await subject.fail_next("503", "504", "408")
    answers = [await ask(subject), await ask(subject, model="impatient")]

    assert [503, 408] == [answer.status for answer in answers]
    assert [(0, 0, False)] * 2 == [
        (entry["leg"], entry["amount_nanos"], entry["estimated"]) for entry in await booked(subject, 2)
    ]


async def test_a_request_that_failed_is_billed_once_for_each_call(subject: Subject) -> None:
    """Both went out: two prompts, and the failure says why."""
    await subject.fail_next("hang_before_headers", "close_connection")
    answer = await ask(subject)

    call, lost = await booked(subject, 2)
    assert 400 <= answer.status
    assert ("failure", True, "PROVIDER_TIMEOUT") == (call["outcome"], call["estimated"], call["error_reason"])
    assert call["amount_nanos"] == lost["amount_nanos"] > 0
    assert ("", "unanswered") == (call["leg_reason"], lost["leg_reason"])


async def prompt_tokens(subject: Subject) -> int:
    """Of TEXT, as the edge counts them."""
    await subject.fail_next("hang_before_headers")
    await ask(subject, model="impatient")
    return int((await booked(subject, 1))[0]["prompt_tokens"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("missing_nanos", [0, 1])
async def test_a_retry_is_paid_for_before_it_is_made(
    subject: Subject, stream: bool, missing_nanos: int
) -> None:
    """With one nano-USD less than two prompts and an answer nobody is called again."""
    prompt = await prompt_tokens(subject)
    needed = 2 * prompt * INPUT_NANOS + 10 * OUTPUT_NANOS - missing_nanos
    key = await subject.new_key(max_budget=f"{needed / 1e9:.9f}")
    before = len(await subject.served())
    await subject.fail_next("hang_before_headers")
    answer = await ask(subject, key, stream=stream)

    calls = len(await subject.served()) - before
    entries = await booked(subject, 2 if missing_nanos else 3)
    spent = sum(entry["amount_nanos"] for entry in entries if entry["account_id"].startswith("key:"))
    assert ((1, 408) if missing_nanos else (2, 200)) == (calls, answer.status)
    assert prompt * INPUT_NANOS <= spent <= needed


async def test_a_fallback_pays_for_the_dearer_call_before_it(subject: Subject) -> None:
    """What was asked for cost four times as much: the hold has both."""
    prompt = await prompt_tokens(subject)
    both = 4 * prompt * INPUT_NANOS + prompt * INPUT_NANOS + 10 * OUTPUT_NANOS
    rich, poor = [await subject.new_key(max_budget=f"{nanos / 1e9:.9f}") for nanos in (both, both - 1)]
    await subject.fail_next("hang_before_headers")
    served = await ask(subject, rich, model="rescued")
    await subject.fail_next("hang_before_headers")
    refused = await ask(subject, poor, model="rescued")

    assert (200, 408) == (served.status, refused.status)
    entries = await booked(subject, 4)
    by_leg = sorted((entry["leg"], entry["model_group"]) for entry in entries)
    assert [(0, "impatient"), (0, "impatient"), (0, "rescued"), (1, "rescued")] == by_leg
