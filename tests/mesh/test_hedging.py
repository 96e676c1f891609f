"""Hedging through the whole mesh: the client sees one answer, the ledger has both calls."""

from collections.abc import AsyncIterator

import pytest

from meshgate_router.hedge_rate import SAMPLES_MIN
from tests.mesh.subject import Subject, subject_with
from tests.support.eventually import eventually

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: &first
      model: openai/a
      api_base: {url}/v1
      api_key: sk-provider-secret
      weight: 1
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
    model_info: {{id: a}}
  - model_name: gpt
    litellm_params: {{<<: *first, model: openai/b, weight: 0}}
    model_info: {{id: b}}
router_settings:
  num_retries: 0
  hedging: {{enabled: true}}
"""


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


async def test_both_calls_are_in_the_ledger(subject: Subject) -> None:
    """The winner by its usage; the loser by its prompt, as estimated: it was read, and nothing was sent."""
    for number in range(SAMPLES_MIN):
        assert 200 == (await subject.ask(f"Hello number {number}", model="gpt", stream=True)).status
    answer = await subject.ask(
        "Tell me a story demo:fail=hang_before_first_chunk@a", model="gpt", stream=True
    )

    async def settled() -> bool:
        return len(await subject.entries()) == SAMPLES_MIN + 2

    await eventually(settled, "both entries are there")
    winner, loser = sorted((await subject.entries())[-2:], key=lambda entry: entry["leg"])
    calls = (await subject.served())[-2:]

    assert "[DONE]" == answer.events[-1]
    assert ["a", "b"] == [call["model"] for call in calls]
    assert ["disconnected", "complete"] == [call["outcome"] for call in calls]
    assert winner["request_id"] == loser["request_id"]
    assert ("b", False) == (winner["deployment_id"], winner["estimated"])
    assert ("a", True, 0) == (loser["deployment_id"], loser["estimated"], loser["completion_tokens"])
    assert calls[1]["completion_tokens"] == winner["completion_tokens"]
    assert winner["amount_nanos"] == 1_000 * winner["prompt_tokens"] + 2_000 * winner["completion_tokens"]
    assert loser["amount_nanos"] == 1_000 * loser["prompt_tokens"] > 0


@pytest.mark.parametrize(("tokens", "hedged"), [(2_000, True), (100, False)])
async def test_with_a_budget_only_what_the_hold_pays_for_is_hedged(
    subject: Subject, tokens: int, hedged: bool
) -> None:
    """Two prompts and the first words of both have to fit in what one answer may cost. The hold is raised
    while that comes."""
    for number in range(SAMPLES_MIN):
        assert 200 == (await subject.ask(f"Hello number {number}", model="gpt", stream=True)).status
    key = await subject.new_key(max_budget=1.0)
    slow = "demo:fail=hang_before_first_chunk@a" if hedged else "demo:first=0.5"
    text = f"Tell me a story {slow} demo:tokens=90 demo:delay=0.001"
    answer = await subject.ask(text, key, model="gpt", stream=True, max_tokens=tokens)
    calls = 2 if hedged else 1

    async def settled() -> bool:
        return len(await subject.entries()) == SAMPLES_MIN + calls

    await eventually(settled, "all entries are there")
    rows = sorted((await subject.entries())[-calls:], key=lambda entry: entry["leg"])

    assert "[DONE]" == answer.events[-1]
    assert ["", "hedge_lost"][:calls] == [row["leg_reason"] for row in rows]
    assert sum(row["amount_nanos"] for row in rows) <= rows[0]["held_nanos"]
