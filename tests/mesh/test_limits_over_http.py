"""Limits as clients meet them: exact, told in headers, refused with words and times that SDKs understand."""

import asyncio
import time

from structlog.testing import capture_logs

from tests.mesh.subject import Subject
from tests.support.eventually import eventually


async def test_requests_per_minute_are_exact(subject: Subject) -> None:
    """Of twenty calls at once as many are answered as the key may make; the others hear when to return."""
    key = await subject.new_key(rpm_limit=7)
    with capture_logs() as logged:
        answers = await asyncio.gather(*(subject.ask(f"Hello {n}", key=key) for n in range(20)))

    statuses = [answer.status for answer in answers]
    refused = next(answer for answer in answers if answer.status == 429)
    error = refused.json["error"]
    assert (7, 13) == (statuses.count(200), statuses.count(429))
    assert 7 == len(await subject.served())
    assert "throttling_error" == error["type"]
    assert error["message"].startswith("Rate limit exceeded for api_key: ")
    assert "Limit type: requests. Current limit: 7, Remaining: 0. Limit resets at: " in error["message"]
    assert 0 <= int(refused.headers["retry-after"]) <= 60
    assert "requests" == refused.headers["rate_limit_type"]
    assert time.time() - 2 <= int(refused.headers["x-ratelimit-reset"]) <= time.time() + 62
    assert ("7", "0") == (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"])
    lines = [line for line in logged if line["event"] == "rate_limit_exceeded"]
    assert 13 == len(lines)
    assert {("api_key", "requests", "7")} == {
        (line["limit_scope"], line["limit_type"], line["limit_maximum"]) for line in lines
    }
    metrics = (await subject.get("/metrics")).body.decode()
    assert 'litellm_rate_limit_exceeded_total{model="demo"} 13.0' in metrics
    assert "litellm_throttled_requests_total 13.0" in metrics


async def test_every_answer_tells_what_is_left(subject: Subject) -> None:
    """Whole and streamed, by scope and by OpenAI's names; a key without limits is told nothing."""
    key = await subject.new_key(rpm_limit=10, tpm_limit=100_000)
    first = await subject.ask("Hello", key=key, max_tokens=50)
    second = await subject.ask("Hello again", key=key, max_tokens=50, stream=True)
    free = await subject.ask("Hello", max_tokens=50)

    for answer, left in ((first, "9"), (second, "8")):
        told = answer.headers
        assert ("10", left) == (
            told["x-ratelimit-api_key-limit-requests"],
            told["x-ratelimit-api_key-remaining-requests"],
        )
        assert ("10", left) == (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"])
        assert "100000" == told["x-ratelimit-api_key-limit-tokens"]
        assert ("10", "100000") == (told["x-litellm-key-rpm-limit"], told["x-litellm-key-tpm-limit"])
    assert [] == [name for name in free.headers if "ratelimit" in name.lower()]


async def test_tokens_are_corrected_to_what_was_used(subject: Subject) -> None:
    """What a call held and did not use is free again when it ends."""
    key = await subject.new_key(tpm_limit=1_000)
    first = await subject.ask("Hello demo:tokens=10", key=key, max_tokens=800)
    second = await subject.ask("Hello again demo:tokens=10", key=key, max_tokens=800)
    third = await subject.ask("And again demo:tokens=10", key=key, max_tokens=990)

    assert (200, 200, 429) == (first.status, second.status, third.status)
    assert "tokens" == third.headers["rate_limit_type"]


async def test_slots_are_free_as_soon_as_a_call_ends(subject: Subject) -> None:
    """However it ends: whole, refused by its provider, or left by its client."""
    key = await subject.new_key(max_parallel_requests=2)
    slow = [
        asyncio.ensure_future(subject.ask(f"Hi {n} demo:first=0.7", key=key, stream=True)) for n in range(2)
    ]

    async def both_under_way() -> bool:
        return len(await subject.served()) == 2

    await eventually(both_under_way, "both slots are taken")
    refused = await subject.ask("Hi", key=key)
    await asyncio.gather(*slow)

    assert 429 == refused.status
    assert "max_parallel_requests" == refused.headers["rate_limit_type"]
    assert "Limit type: max_parallel_requests. Current limit: 2" in refused.json["error"]["message"]
    for _ in range(3):
        failed = await subject.ask("Hi demo:fail=500", key=key)
        assert 500 == failed.status
        body = {
            "model": "demo",
            "stream": True,
            "messages": [{"role": "user", "content": "Hi demo:tokens=500 demo:delay=0.02"}],
        }
        async with subject.session.post(
            f"{subject.mesh.url}/v1/chat/completions", json=body, headers=subject.headers(key)
        ) as left:
            await left.content.readline()

        async def admitted() -> bool:
            return (await subject.ask("Hi", key=key)).status == 200

        await eventually(admitted, "the slot is free")


async def test_an_end_user_named_by_a_header_is_counted(subject: Subject) -> None:
    """LiteLLM's header stands for OpenAI's `user`."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
    headers = subject.headers() | {"x-litellm-customer-id": "alice"}
    async with subject.session.post(
        f"{subject.mesh.url}/v1/chat/completions", json=body, headers=headers
    ) as answer:
        assert 200 == answer.status

    (entry,) = await subject.entries()
    assert "alice" == entry["end_user"]
