"""Hedges, streams that go on elsewhere, and answers that are longer than thought, many at a time near a cap:
what is settled never passes it.
"""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import asyncpg
import pytest

from meshgate_router.hedge_rate import SAMPLES_MIN
from tests.mesh.subject import Subject, subject_with
from tests.support.eventually import eventually

CONFIG = """
model_list:
  - model_name: story
    litellm_params: &first
      {{model: openai/a, api_base: "{url}/v1", api_key: sk-provider-secret, weight: 1,
        input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
    model_info: {{id: a}}
  - model_name: story
    litellm_params: {{<<: *first, model: openai/b, weight: 0}}
    model_info: {{id: b}}
general_settings: {{default_output_tokens: 20}}
router_settings:
  num_retries: 0
  allowed_fails: 1000000
  hedging: {{enabled: true, extra_calls_max: 1}}
"""
CALLS = 40
INPUT, OUTPUT = 1_000, 2_000  # nano-USD of a token


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


def question(words: int, directives: str) -> str:
    return f"{'and the cat ' * (words // 3)}{directives}"


async def closed_entries(subject: Subject) -> list[dict[str, Any]]:
    """All entries, once nothing is held any more."""

    async def nothing_held() -> bool:
        connection = await asyncpg.connect(subject.mesh.database_url)
        try:
            return 0 == await connection.fetchval("SELECT count(*) FROM ledger.holds WHERE state = 'open'")
        finally:
            await connection.close()

    await eventually(nothing_held, "every hold is closed")
    return await subject.entries()


async def spend(
    subject: Subject, seed: int, words: tuple[int, int], tokens: tuple[int, int], extra: str
) -> float:
    """Calls at the same time that would together just use up a cap, if it were not for the extra calls of
    most of them. Returns the share of the cap that was settled."""
    random = Random(seed)
    sizes = [(random.randint(*words), random.randint(*tokens)) for _ in range(CALLS)]
    cap_nanos = sum(INPUT * (words + 40) + OUTPUT * tokens for words, tokens in sizes)
    key = await subject.new_key(max_budget=cap_nanos / 1e9)
    await asyncio.gather(
        *(
            subject.ask(
                question(
                    words, f"demo:tokens={tokens} demo:delay=0.001 {extra if number < CALLS - 16 else ''}"
                ),
                key,
                model="story",
                stream=True,
                max_tokens=tokens,
            )
            for number, (words, tokens) in enumerate(sizes)
        )
    )
    rows = [row for row in await closed_entries(subject) if row["account_id"].startswith("key:")]
    assert rows
    return float(sum(row["amount_nanos"] for row in rows) / cap_nanos)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("words", [(300, 600), (20, 60)])
async def test_streams_that_go_on_elsewhere(subject: Subject, words: tuple[int, int], seed: int) -> None:
    """The prompt is paid for twice; long ones cost more than all of the answer."""
    assert await spend(subject, seed, words, (30, 60), "demo:fail=cut_mid_stream:5@a") <= 1.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("words", [(300, 600), (20, 60)])
async def test_hedges(subject: Subject, words: tuple[int, int], seed: int) -> None:
    """Who is slow is asked twice."""
    for number in range(SAMPLES_MIN):
        await subject.ask(f"Hello number {number}", model="story", stream=True)
    assert await spend(subject, seed, words, (180, 240), "demo:first=0.4") <= 1.0


async def test_answers_in_one_piece_that_are_longer_than_thought(subject: Subject) -> None:
    """Nobody limits them, and each is three times what is held for it."""
    text = "Hello demo:tokens=60"
    held = INPUT * 20 + OUTPUT * 20
    key = await subject.new_key(max_budget=CALLS * held / 1e9)
    answers = await asyncio.gather(*(subject.ask(text, key, model="story") for _ in range(CALLS + 20)))
    rows = [row for row in await closed_entries(subject) if row["account_id"].startswith("key:")]

    assert 429 in {answer.status for answer in answers} <= {200, 429}
    assert CALLS * held >= sum(row["amount_nanos"] for row in rows) > 0
