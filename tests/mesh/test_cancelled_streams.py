"""Streams that their clients leave: billed by what their provider had sent, however much of it was read."""

import asyncio
import random
from collections import Counter

import aiohttp

from tests.mesh.subject import Subject
from tests.support.eventually import eventually

STREAMS = 1_000
TOGETHER = 12
CHUNKS_MAX = 40
PACED_STREAMS = 100
PACE_S = 0.03
SEED = 20_251_121


async def leave(subject: Subject, body: dict[str, object], chunks: int) -> None:
    """Reads so many events, then closes the connection."""
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{subject.mesh.url}/v1/chat/completions", json=body, headers=subject.headers()
        ) as answer:
            assert 200 == answer.status, await answer.read()
            while chunks and (line := await answer.content.readline()):
                chunks -= line.startswith(b"data: ")
            answer.close()


def question(number: int, directives: str) -> dict[str, object]:
    content = f"Question number {number} {directives}"
    return {
        "model": "demo",
        "stream": True,
        "cache": {"no-cache": True, "no-store": True},
        "messages": [{"role": "user", "content": content}],
    }


async def differences(subject: Subject, count: int) -> list[int]:
    """Of each stream, what was billed less what the provider had sent; every one has exactly one entry."""

    async def all_settled() -> bool:
        served = await subject.served()
        return count == len(served) == len(await subject.entries()) and all(
            each["outcome"] != "serving" for each in served
        )

    await eventually(all_settled, "every stream is over and has its entry")
    billed = {entry["request_id"]: entry for entry in await subject.entries()}
    assert count == len(billed)
    found = []
    for served in await subject.served():
        entry = billed[served["request_id"]]
        assert entry["estimated"] or entry["completion_tokens"] == served["completion_tokens"]
        found.append(entry["completion_tokens"] - served["tokens_sent"])
    return found


async def test_a_cancelled_stream_costs_what_was_sent(subject: Subject) -> None:
    """A thousand streams, each left at a random chunk, the last that its provider has sent by then: the bill
    is within one token of what was sent."""
    choose = random.Random(SEED)
    places = asyncio.Semaphore(TOGETHER)

    async def one(number: int) -> None:
        async with places:
            chunks = choose.randint(2, CHUNKS_MAX)  # of the role alone nobody hears
            await leave(
                subject, question(number, f"demo:tokens=50 demo:fail=stall_mid_stream:{chunks}"), chunks
            )

    await asyncio.gather(*(one(number) for number in range(STREAMS)))
    found = Counter(await differences(subject, STREAMS))
    print(f"billed less sent, tokens: {dict(sorted(found.items()))}")

    assert {-1, 0, 1} >= set(found)


async def test_what_is_on_its_way_is_not_billed(subject: Subject) -> None:
    """A provider that goes on until it notices has sent a little more than what has arrived here, as much as
    it writes in the time of the way there and back; never less."""
    choose = random.Random(SEED)
    places = asyncio.Semaphore(TOGETHER)

    async def one(number: int) -> None:
        async with places:
            await leave(
                subject, question(number, f"demo:tokens=100 demo:delay={PACE_S}"), choose.randint(1, 6)
            )

    await asyncio.gather(*(one(number) for number in range(PACED_STREAMS)))
    found = Counter(await differences(subject, PACED_STREAMS))
    print(f"billed less sent, tokens: {dict(sorted(found.items()))}")

    assert max(found) <= 0


async def test_what_a_client_did_not_read_is_billed(subject: Subject) -> None:
    """A provider that sends as fast as it can is some chunks ahead: all that has arrived here is billed."""
    for number in range(5):
        await leave(subject, question(number, "demo:tokens=3000 demo:delay=0"), 2)
    found = await differences(subject, 5)
    print(f"billed less sent, tokens: {found}")

    assert all(-500 <= difference <= 0 for difference in found)
    assert all(entry["completion_tokens"] > 2 for entry in await subject.entries())


async def test_a_prompt_is_billed_as_its_provider_told_it(subject: Subject) -> None:
    """Anthropic tells it with the first chunk: of a stream that was left, the prompt is no estimate."""
    await leave(subject, question(1, "demo:tokens=100 demo:delay=0.04") | {"model": "claude"}, 2)

    (difference,) = await differences(subject, 1)
    (entry,) = await subject.entries()
    (served,) = await subject.served()
    assert entry["estimated"]
    assert served["prompt_tokens"] == entry["prompt_tokens"]
    assert abs(difference) <= 5  # the factor of the family, and its fixed part
