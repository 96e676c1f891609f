"""Budgets that end while an answer streams: never exceeded, hardly left unused, and billed to the token."""

import asyncio
from typing import Any

import pytest

from tests.mesh.subject import Answer, Subject
from tests.support.eventually import eventually

PROMPT_NANOS, OUTPUT_NANOS = 1_000, 2_000  # of the model "demo", for each token


def pieces(answer: Answer) -> list[str]:
    """What the client saw; the demo model sends one token in each chunk."""
    chunks = [event for event in answer.events if event != "[DONE]" and "choices" in event]
    texts = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    return [text for text in texts if text]


async def charge(subject: Subject, count: int = 1) -> list[dict[str, Any]]:
    """The entries, once there are so many; streams that are cut are settled behind their answer."""

    async def found() -> list[dict[str, Any]]:
        entries = await subject.entries()
        return entries if len(entries) >= count else []

    return await eventually(found, f"{count} entries")


async def ask(subject: Subject, tokens: int, key: str, **members: Any) -> Answer:
    return await subject.ask(
        f"Go on demo:tokens={tokens}", key=key, stream=True, cache={"no-cache": True}, **members
    )


async def test_a_stream_is_cut_where_the_budget_ends(subject: Subject) -> None:
    """A typed error and no [DONE]; the bill is what the client saw, and ends where the budget does."""
    key = await subject.new_key(max_budget=0.004)
    answer = await ask(subject, 5_000, key)

    (entry,) = await charge(subject)
    seen = len(pieces(answer))
    error = answer.events[-1]["error"]
    assert 200 == answer.status
    assert ("budget_exceeded", "429") == (error["type"], error["code"])
    assert "Budget has been exceeded!" in error["message"]
    assert b"[DONE]" not in answer.body
    assert seen == entry["completion_tokens"]
    assert PROMPT_NANOS * entry["prompt_tokens"] + OUTPUT_NANOS * seen == entry["amount_nanos"]
    assert entry["estimated"]
    assert 4_000_000 - OUTPUT_NANOS < entry["amount_nanos"] <= 4_000_000


async def test_a_long_answer_goes_on_while_there_is_money(subject: Subject) -> None:
    """Far beyond the first hold; billed by the provider's own count."""
    key = await subject.new_key(max_budget=1.0)
    answer = await ask(subject, 6_000, key)

    (entry,) = await charge(subject)
    assert "[DONE]" == answer.events[-1]
    assert 6_000 == len(pieces(answer)) == entry["completion_tokens"]
    assert not entry["estimated"]


async def test_many_streams_of_one_key_never_pass_its_budget(subject: Subject) -> None:
    """With a limit of tokens and without; together they want more than twice of what there is, and when they
    end next to nothing is left."""
    key = await subject.new_key(max_budget=0.02)
    limits: list[dict[str, int]] = [{}, {"max_tokens": 1_900}]
    answers = await asyncio.gather(*(ask(subject, 2_000, key, **limits[n % 2]) for n in range(12)))

    admitted = [answer for answer in answers if answer.status == 200]
    entries = await charge(subject, len(admitted))
    spent = sum(entry["amount_nanos"] for entry in entries)
    assert {200, 429} >= {answer.status for answer in answers}
    assert 19_600_000 <= spent <= 20_000_000
    assert sum(len(pieces(answer)) for answer in admitted) == sum(
        entry["completion_tokens"] for entry in entries
    )


async def test_a_whole_answer_ends_where_the_budget_does(subject: Subject) -> None:
    """Without max_tokens nobody knows how long it will be: far from the budget's end it may be as long as it
    likes, near to it it is refused when the money ends, and what came until then is billed."""
    key = await subject.new_key(max_budget=0.008)
    whole = await subject.ask("Go on demo:tokens=1500", key=key)
    cut = await subject.ask("Go on and on demo:tokens=9000", key=key)
    after = await subject.ask("Go on again demo:tokens=9000", key=key)

    first, second = await charge(subject, 2)
    assert (200, 429, 429) == (whole.status, cut.status, after.status)
    assert 1_500 == whole.json["usage"]["completion_tokens"] == first["completion_tokens"]
    assert whole.json["choices"][0]["message"]["content"].startswith("This answer is as long")
    assert "budget_exceeded" == cut.json["error"]["type"]
    assert 8_000_000 - OUTPUT_NANOS < first["amount_nanos"] + second["amount_nanos"] <= 8_000_000


async def test_a_dearer_fallback_is_priced_anew(subject: Subject) -> None:
    """The hold was made for a model at half the price: the budget is kept all the same."""
    key = await subject.new_key(max_budget=0.0015)
    answer = await ask(subject, 2_000, key, model="rescued", max_tokens=1_200)

    (entry,) = await charge(subject)
    assert "budget_exceeded" == answer.events[-1]["error"]["type"]
    assert "demo" == entry["model_group"]
    assert len(pieces(answer)) == entry["completion_tokens"]
    assert 1_500_000 - OUTPUT_NANOS < entry["amount_nanos"] <= 1_500_000


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ({"model_rpm_limit": {"demo": 1}}, "throttling_error"),
        ({"model_max_budget": {"demo": 0.0001}}, "budget_exceeded"),
    ],
)
async def test_a_fallback_has_limits_of_its_own(
    subject: Subject, limits: dict[str, Any], refused: str
) -> None:
    """What is limited is "demo"; it is asked for as "rescued", whose own provider is away."""
    key = await subject.new_key(**limits)
    first = await ask(subject, 10, key, model="rescued", max_tokens=30)
    second = await ask(subject, 10, key, model="rescued", max_tokens=30)
    own = await ask(subject, 10, key, max_tokens=30)

    assert [200, 429, 429] == [first.status, second.status, own.status]
    assert [refused] * 2 == [answer.json["error"]["type"] for answer in (second, own)]
    assert 1 == len(await subject.served())
    assert 0 < sum(entry["amount_nanos"] for entry in await charge(subject)) <= 100_000


@pytest.mark.parametrize("stream", [False, True])
async def test_a_settlement_tells_who_and_where(subject: Subject, stream: bool) -> None:
    """Address, answer, end user and tags, for whoever reads the logs."""
    answer = await subject.ask("Hi demo:tokens=5", stream=stream, user="alice", metadata={"tags": ["blue"]})

    (entry,) = await charge(subject)
    answered = answer.events[0] if stream else answer.json
    assert answered["id"] == entry["response_id"]
    assert ("acompletion", "127.0.0.1", "alice", ["blue"]) == (
        entry["call_type"],
        entry["requester_ip_address"],
        entry["end_user"],
        entry["tags"],
    )
    assert entry["api_base"].startswith("http://127.0.0.1")
