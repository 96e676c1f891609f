"""Compression through the whole mesh: who switches it on, when it stays off, and where it is told."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mesh.subject import Subject, subject_with

CONFIG = """
model_list:
  - model_name: plain
    litellm_params: {{model: openai/demo, api_base: {url}/v1, api_key: x, input_cost_per_token: 0.000001,
      output_cost_per_token: 0.000002}}
  - model_name: cached
    litellm_params: {{model: openai/demo, api_base: {url}/v1, api_key: x, input_cost_per_token: 0.000001,
      output_cost_per_token: 0.000002, cache_read_input_token_cost: 0.0000001}}
  - model_name: eager
    litellm_params: {{model: openai/demo, api_base: {url}/v1, api_key: x, input_cost_per_token: 0.000001,
      output_cost_per_token: 0.000002}}
compression_settings:
  models: {{eager: {{rag_target_ratio: 0.8}}}}
"""
FACTS = " ".join(f"Keeper {n} wrote of the weather, and it was fine on day {n}." for n in range(120))
QUESTION = "What did keeper 77 write?"
CONTEXT = [{"role": "user", "content": f"<context>{FACTS}</context>\n{QUESTION}"}]
FOLLOW_UP = [*CONTEXT, {"role": "assistant", "content": "Fine."}, {"role": "user", "content": "And 78?"}]


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh in which compression is off but for one model."""
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


async def result_of(subject: Subject, model: str, messages: Any = CONTEXT, **members: Any) -> str | None:
    """What a call's header says became of its compression."""
    key = members.pop("key", None)
    body = {"model": model, "messages": messages, **members}
    answer = await subject.post("/v1/chat/completions", body, key)
    assert 200 == answer.status, answer.body
    result: str | None = answer.headers.get("x-meshgate-compression")
    assert (result == "compressed") == ("x-meshgate-compressed-prompt-tokens" in answer.headers)
    return result


async def metric(subject: Subject, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    text = (await subject.get("/metrics")).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_request_key_and_model_switch_it(subject: Subject) -> None:
    """The nearest word counts; off without any."""
    on = await subject.new_key(metadata={"compression": True})
    off = await subject.new_key(metadata={"compression": {"enabled": False}})

    assert None is await result_of(subject, "plain")
    assert "compressed" == await result_of(subject, "plain", key=on)
    assert None is await result_of(subject, "plain", key=on, compression=False)
    assert "compressed" == await result_of(subject, "eager")
    assert None is await result_of(subject, "eager", key=off)
    assert "compressed" == await result_of(subject, "eager", key=off, compression={})
    assert "below_minimum" == await result_of(subject, "plain", compression={"min_tokens": 100_000})
    assert "disabled" == await result_of(subject, "plain", compression={"compressor": "none"})


@pytest.mark.parametrize(("header", "expected"), [("on", "compressed"), ("off", None)])
async def test_a_header_switches_it(subject: Subject, header: str, expected: str | None) -> None:
    """For clients that cannot change their bodies; it does not reach the provider."""
    model = "plain" if expected else "eager"
    async with subject.session.post(
        f"{subject.mesh.url}/v1/chat/completions",
        json={"model": model, "messages": CONTEXT},
        headers={**subject.headers(), "x-meshgate-compression": header},
    ) as answer:
        assert (200, expected) == (answer.status, answer.headers.get("x-meshgate-compression"))


@pytest.mark.parametrize("name", ["llmlingua", "zip"])
async def test_an_unknown_compressor_is_refused(subject: Subject, name: str) -> None:
    """One that nobody has, and one that is not installed here: 400, the field named, nothing charged."""
    body = {"model": "plain", "messages": CONTEXT, "compression": {"compressor": name}}
    answer = await subject.post("/v1/chat/completions", body)

    assert 400 == answer.status
    assert "compression.compressor" == answer.json["error"]["param"]
    assert [] == await subject.served()
    assert 0 == sum(entry["amount_nanos"] for entry in await subject.entries())


async def test_tokens_are_on_the_entry_and_in_the_metrics(subject: Subject) -> None:
    """Before and after, with the numbers of the header; the decision is counted by model."""
    body = {"model": "plain", "messages": CONTEXT, "compression": True}
    answer = await subject.post("/v1/chat/completions", body)
    before = int(answer.headers["x-meshgate-original-prompt-tokens"])
    after = int(answer.headers["x-meshgate-compressed-prompt-tokens"])
    (entry,) = await subject.entries()

    assert before == entry["uncompressed_prompt_tokens"]
    assert 0.3 < after / before < 0.6
    assert 1 == await metric(subject, "litellm_compression_requests_total")
    assert before == await metric(subject, "litellm_compression_original_tokens_total")
    saved = await metric(subject, "litellm_compression_savings_percent_sum")
    assert saved == pytest.approx(100 * (1 - after / before))
    assert 1 == await metric(subject, "litellm_compression_latency_seconds_count")
    assert await metric(subject, "litellm_compression_latency_seconds_sum") > 0
    labels = {"model": "plain", "result": "compressed"}
    assert 1 == await metric(subject, "meshgate_compression_decisions_total", **labels)


async def test_a_long_stable_prefix_keeps_it_off_where_cached_tokens_are_cheap(subject: Subject) -> None:
    """By the price that the ledger tells; the same conversation is shortened where they are not, or when the
    request says that it does not care. The decision is counted."""
    assert "prefix_cached" == await result_of(subject, "cached", FOLLOW_UP, compression=True)
    assert "compressed" == await result_of(subject, "plain", FOLLOW_UP, compression=True)
    assert "compressed" == await result_of(subject, "cached", FOLLOW_UP, compression={"guard": False})
    labels = {"model": "cached", "result": "prefix_cached"}
    assert 1 == await metric(subject, "meshgate_compression_decisions_total", **labels)


async def test_a_fresh_long_context_turns_it_on_and_the_conversation_keeps_its_bytes(
    subject: Subject,
) -> None:
    """The second turn sends what the first one sent, byte for byte."""
    assert "compressed" == await result_of(subject, "cached", compression=True)
    assert "compressed" == await result_of(subject, "cached", FOLLOW_UP, compression=True)

    first, second = (each["body"]["messages"] for each in await subject.served())
    assert first == second[:1]
    assert len(first[0]["content"]) < 0.6 * len(CONTEXT[0]["content"])
    assert FOLLOW_UP[1:] == second[1:]
