"""The data path end to end: what the client sees, what reaches the provider, what the ledger says."""

import asyncio

import pytest

from tests.mesh.subject import Subject
from tests.support.eventually import eventually


async def test_an_answer_is_billed_exactly(subject: Subject) -> None:
    """Tokens times price, in nano-USD, on the entry and in the headers."""
    answer = await subject.ask("Hello there")

    usage = answer.json["usage"]
    cost = 1_000 * usage["prompt_tokens"] + 2_000 * usage["completion_tokens"]
    (entry,) = await subject.entries()
    assert 200 == answer.status
    assert ("charge", cost) == (entry["kind"], entry["amount_nanos"])
    assert not entry["estimated"]
    assert answer.headers["x-litellm-call-id"] == entry["request_id"]
    assert cost == round(float(answer.headers["x-litellm-response-cost"]) * 1e9)
    assert (await subject.served())[0]["request_id"] == entry["request_id"]


async def test_unknown_fields_survive_to_the_provider(subject: Subject) -> None:
    """At the top level, in a message, in a part and in a tool; gateway parameters do not."""
    await subject.ask(
        "Hi",
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "Be kind", "cache_control": {"a": 1}}]},
            {"role": "user", "content": "Hi", "mood": ["good"]},
        ],
        tools=[{"type": "function", "function": {"name": "f", "new": 1}, "beta": True}],
        some_new_option={"deep": [1, None, 2.5]},
        cache={"no-cache": True},
        metadata={"tags": ["x"]},
    )

    sent = (await subject.served())[0]["body"]
    assert {"deep": [1, None, 2.5]} == sent["some_new_option"]
    assert ["good"] == sent["messages"][1]["mood"]
    assert {"a": 1} == sent["messages"][0]["content"][0]["cache_control"]
    assert (1, True) == (sent["tools"][0]["function"]["new"], sent["tools"][0]["beta"])
    assert "cache" not in sent
    assert "metadata" not in sent


async def test_a_stream_is_billed_by_the_providers_usage(subject: Subject) -> None:
    """The client did not ask for usage and sees none; the ledger has it all the same."""
    answer = await subject.ask("Count for me demo:tokens=17", stream=True)

    assert "[DONE]" == answer.events[-1]
    assert [] == [event for event in answer.events[:-1] if event.get("usage")]
    (entry,) = await subject.entries()
    assert (17, False) == (entry["completion_tokens"], entry["estimated"])
    assert entry["first_token_time"] is not None


async def test_include_usage_gives_one_last_chunk(subject: Subject) -> None:
    """With empty choices, before [DONE]."""
    answer = await subject.ask("Hi demo:tokens=5", stream=True, stream_options={"include_usage": True})

    *chunks, last, done = answer.events
    assert "[DONE]" == done
    assert [] == last["choices"]
    assert 5 == last["usage"]["completion_tokens"]
    assert [] == [chunk for chunk in chunks if chunk.get("usage")]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
async def test_a_repeat_is_answered_by_the_cache(subject: Subject, first: bool, second: bool) -> None:
    """Streamed or not, in any combination: same text, no second call, no cost, an entry that says so."""
    one = await subject.ask("What is the capital of France?", stream=first)

    async def hit() -> int:
        """How many calls the provider had when a repeat was a hit; storing takes a moment."""
        before = len(await subject.served())
        again = await subject.ask("What is the capital of France?", stream=second)
        assert b"Paris" in again.body
        return before if "x-litellm-cache-key" in again.headers else 0

    before = await eventually(hit, "the answer is in the cache")

    entries = await subject.entries()
    assert 200 == one.status
    assert before == len(await subject.served())
    assert ("CACHE_HIT", 0) == (entries[-1]["outcome"].upper(), entries[-1]["amount_nanos"])
    assert entries[0]["amount_nanos"] == entries[-1]["saved_nanos"] > 0


async def test_two_keys_do_not_share_answers(subject: Subject) -> None:
    """What one tenant was told is not told to another."""
    one, other = await subject.new_key(), await subject.new_key()
    for key in (one, other):
        await subject.ask("What is the capital of France?", key=key)

    assert 2 == len(await subject.served())


async def test_no_call_when_the_budget_is_spent(subject: Subject) -> None:
    """Concurrent calls on a capped key: the bill never exceeds the cap, refusals never reach the provider."""
    key = await subject.new_key(max_budget=0.0005)
    texts = [f"Hello number {number} demo:tokens=40" for number in range(30)]
    answers = await asyncio.gather(*(subject.ask(text, key=key, max_tokens=40) for text in texts))

    statuses = [answer.status for answer in answers]
    spent = sum(entry["amount_nanos"] for entry in await subject.entries())
    assert {200, 429} == set(statuses)
    assert spent <= 500_000
    assert statuses.count(200) == len(await subject.served())
    refused = next(answer for answer in answers if answer.status == 429)
    assert "budget_exceeded" == refused.json["error"]["type"]
    assert "false" == refused.headers["x-should-retry"]


async def test_a_client_that_leaves_ends_the_providers_work(subject: Subject) -> None:
    """The provider sees the disconnect; what was sent is on the bill, estimated."""
    body = {
        "model": "demo",
        "stream": True,
        "messages": [{"role": "user", "content": "Go on demo:tokens=2000 demo:delay=0.02"}],
    }
    async with subject.session.post(
        f"{subject.mesh.url}/v1/chat/completions", json=body, headers=subject.headers()
    ) as answer:
        for _ in range(5):
            await answer.content.readline()

    async def disconnected() -> bool:
        return (await subject.served())[0]["outcome"] == "disconnected"

    await eventually(disconnected, "the provider sees the disconnect")

    async def entry_there() -> bool:
        return len(await subject.entries()) == 1

    await eventually(entry_there, "the ledger has its entry")
    (entry,) = await subject.entries()
    sent = (await subject.served())[0]["tokens_sent"]
    assert "CANCELLED" == entry["outcome"].upper()
    assert entry["estimated"]
    assert 0 < entry["completion_tokens"] <= 2 * sent + 10
    assert entry["amount_nanos"] > 0


async def test_a_dead_provider_is_one_clear_error_and_no_charge(subject: Subject) -> None:
    """Nobody listens there: an error in OpenAI's format, a released hold, nothing charged."""
    answer = await subject.ask("Hi", model="nowhere")

    assert answer.status in (500, 502, 503)
    assert {"message", "type", "param", "code"} <= set(answer.json["error"])
    entries = await eventually(subject.entries, "an entry")
    assert 0 == sum(entry["amount_nanos"] for entry in entries)


async def test_a_fallback_answers_and_says_so(subject: Subject) -> None:
    """The chain is followed, the group that answered is in the headers and on the entry."""
    answer = await subject.ask("Hi", model="rescued")

    assert 200 == answer.status, answer.body
    assert "demo" == answer.headers["x-litellm-model-group"]
    assert int(answer.headers["x-litellm-attempted-fallbacks"]) >= 1
    (entry,) = await subject.entries()
    assert ("rescued", "demo") == (entry["model"], entry["model_group"])


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_is_translated(subject: Subject, stream: bool) -> None:
    """An Anthropic-shaped provider behind OpenAI's API."""
    answer = await subject.ask("What is the capital of France?", model="claude", stream=stream)

    assert 200 == answer.status, answer.body
    served = (await subject.served())[0]
    assert "/v1/messages" == served["path"]
    if stream:
        chunks = answer.events[:-1]
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        finishes = [chunk["choices"][0].get("finish_reason") for chunk in chunks]
        assert "stop" == finishes[-1]
    else:
        text = answer.json["choices"][0]["message"]["content"]
    assert "Paris" in text
    (entry,) = await subject.entries()
    assert 3_000 * entry["prompt_tokens"] + 15_000 * entry["completion_tokens"] == entry["amount_nanos"]


async def test_a_stream_cut_by_the_provider_is_never_whole(subject: Subject) -> None:
    """An error event, no [DONE]; the tokens that were sent are billed as estimated."""
    answer = await subject.ask("Talk demo:tokens=50 demo:fail=cut_mid_stream:10", stream=True)

    assert 200 == answer.status
    assert "error" in answer.events[-1]
    assert b"[DONE]" not in answer.body
    entries = await eventually(subject.entries, "an entry")
    assert entries[-1]["estimated"]
    assert 0 < entries[-1]["completion_tokens"] < 50


async def test_compression_is_off_by_default_and_on_by_request(subject: Subject) -> None:
    """The provider gets fewer words, the question unharmed; the header tells both numbers."""

    def facts(who: str) -> str:
        wrote = "wrote about the weather, which was"
        return " ".join(f"{who} number {n} {wrote} {n} degrees on that day." for n in range(120))

    async def is_shortened() -> bool:
        asked = await subject.ask(facts("Porter"), cache={"no-cache": True}, compression={"enabled": True})
        return "x-meshgate-compressed-prompt-tokens" in asked.headers

    await eventually(is_shortened, "the worker starts with the first request that wants it")
    text = f"{facts('Keeper')}\n\nWhat did keeper number 77 write about?"
    plain = await subject.ask(text, cache={"no-cache": True})
    shorter = await subject.ask(text, cache={"no-cache": True}, compression={"enabled": True})

    *_, first, second = await subject.served()
    assert "x-meshgate-original-prompt-tokens" not in plain.headers
    assert text == first["body"]["messages"][0]["content"]
    sent = second["body"]["messages"][0]["content"]
    assert len(sent) < 0.8 * len(text)
    assert sent.endswith("What did keeper number 77 write about?")
    assert int(shorter.headers["x-meshgate-compressed-prompt-tokens"]) < int(
        shorter.headers["x-meshgate-original-prompt-tokens"]
    )


async def test_keys_are_made_shown_and_deleted(subject: Subject) -> None:
    """A deleted key stops working at once; its secret is nowhere in the ledger."""
    key = await subject.new_key(key_alias="bot", models=["demo"], metadata={"team": "x"})
    info = (await subject.get(f"/key/info?key={key}")).json
    refused = await subject.ask("Hi", key=key, model="claude")
    deleted = await subject.post("/key/delete", {"keys": [key]})
    after = await subject.ask("Hi", key=key)

    assert "bot" == info["info"]["key_alias"]
    assert key not in str(info["info"])
    assert 403 == refused.status
    assert "key_model_access_denied" == refused.json["error"]["type"]
    assert [key] == deleted.json["deleted_keys"]
    assert 401 == after.status
    assert [] == await subject.served()
