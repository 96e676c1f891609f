"""POST /v1/chat/completions looks like OpenAI's, to the byte that clients care about."""

import json

import aiohttp
import openai
import pytest

from tests.support.demo_provider import DemoProvider
from tests.unit.demo.support import CHAT, WEATHER, WEATHER_TOOL, chat, data_of, text_of


async def test_an_answer_reflects_the_question(client: aiohttp.ClientSession) -> None:
    """JSON has the answer, a finish reason and a usage that adds up."""
    async with client.post(CHAT, json=chat()) as answer:
        body = await answer.json()

    assert answer.status == 200
    assert body["choices"][0]["message"]["content"] == "The capital of France is Paris."
    assert body["choices"][0]["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == 7


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_stream_says_the_same_as_json(client: aiohttp.ClientSession, include_usage: bool) -> None:
    """One chunk per token, the finish reason once, usage when asked and only then, [DONE] last."""
    async with client.post(CHAT, json=chat()) as answer:
        whole = await answer.json()
    options = {"include_usage": include_usage}
    async with client.post(CHAT, json=chat(stream=True, stream_options=options)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        chunks = data_of(await answer.read())

    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-1] == "[DONE]"
    reasons = [one["choices"][0]["finish_reason"] for one in chunks[:-1] if one["choices"]]
    assert [reason for reason in reasons if reason] == ["stop"]
    usages = [one["usage"] for one in chunks[:-1] if one.get("usage")]
    assert usages == ([whole["usage"]] if include_usage else [])
    texts = [one for one in chunks[:-1] if one["choices"] and one["choices"][0]["delta"].get("content")]
    assert len(texts) == whole["usage"]["completion_tokens"]


async def test_limits_are_honoured(client: aiohttp.ClientSession) -> None:
    """max_tokens ends with length, stop ends before the sequence, n gives distinct choices."""
    async with client.post(CHAT, json=chat("demo:tokens=50", max_tokens=5)) as answer:
        limited = await answer.json()
    async with client.post(CHAT, json=chat(stop=[" is"])) as answer:
        stopped = await answer.json()
    async with client.post(CHAT, json=chat(n=3)) as answer:
        several = await answer.json()

    assert limited["choices"][0]["finish_reason"] == "length"
    assert limited["usage"]["completion_tokens"] == 5
    assert stopped["choices"][0]["message"]["content"] == "The capital of France"
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert len({choice["message"]["content"] for choice in several["choices"]}) == 3


async def test_an_exact_number_of_tokens_can_be_asked_for(client: aiohttp.ClientSession) -> None:
    """demo:tokens=N gives N tokens, so that a test knows the bill beforehand."""
    async with client.post(CHAT, json=chat("Talk. demo:tokens=321")) as answer:
        body = await answer.json()

    assert body["usage"]["completion_tokens"] == 321


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_that_is_mentioned_is_called(provider: DemoProvider, stream: bool) -> None:
    """OpenAI's own client reads the call; its arguments fit the schema; a result is used in the answer."""
    client = openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=0)
    ask = chat("How is the weather in Paris for 30 days?", tools=[WEATHER_TOOL])
    async with client:
        if stream:
            async with client.chat.completions.stream(**ask) as events:
                message = (await events.get_final_completion()).choices[0].message
        else:
            message = (await client.chat.completions.create(**ask)).choices[0].message
        assert message.tool_calls
        call = message.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
        messages = [*ask["messages"], message.model_dump(exclude_none=True), result]
        final = await client.chat.completions.create(model="demo", messages=messages, tools=ask["tools"])

    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "Paris", "days": 7}
    assert final.choices[0].finish_reason == "stop"
    assert "18 degrees" in (final.choices[0].message.content or "")


@pytest.mark.parametrize(
    ("choice", "text", "called"),
    [
        ("none", "get_weather", False),
        ("auto", "Tell me a story", False),
        ("auto", "call get_weather", True),
        ("required", "Tell me a story", True),
        ({"type": "function", "function": {"name": "get_weather"}}, "Tell me a story", True),
    ],
)
async def test_tool_choice_decides(
    client: aiohttp.ClientSession, choice: object, text: str, called: bool
) -> None:
    """none never calls, required and a named tool always do."""
    async with client.post(CHAT, json=chat(text, tools=[WEATHER_TOOL], tool_choice=choice)) as answer:
        body = await answer.json()

    assert (body["choices"][0]["finish_reason"] == "tool_calls") is called


async def test_json_is_answered_when_json_is_asked(client: aiohttp.ClientSession) -> None:
    """json_schema gives a value of the schema; json_object gives an object."""
    schema = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER}}
    async with client.post(CHAT, json=chat("In Rome, 3 days", response_format=schema)) as answer:
        fitting = json.loads((await answer.json())["choices"][0]["message"]["content"])
    async with client.post(CHAT, json=chat(response_format={"type": "json_object"})) as answer:
        free = json.loads((await answer.json())["choices"][0]["message"]["content"])

    assert fitting == {"location": "Rome", "days": 3}
    assert isinstance(free, dict)


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"model": "demo"}', "messages"),
        (b'{"model": 1, "messages": [{"role": "user"}]}', "model"),
        (b'{"model": "demo", "messages": [{}]}', "messages[0].role"),
        (b'{"model": "demo", "messages": [{"role": "user"}], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "demo", "messages": [{"role": "user"}], "n": true}', "n"),
    ],
)
async def test_a_wrong_request_is_named(
    client: aiohttp.ClientSession, body: bytes, parameter: str | None
) -> None:
    """400 in OpenAI's form, with the parameter."""
    async with client.post(CHAT, data=body) as answer:
        error = (await answer.json())["error"]

    assert answer.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == parameter


async def test_models_and_health(client: aiohttp.ClientSession) -> None:
    """The two GET endpoints a gateway asks."""
    async with client.get("/v1/models") as answer:
        models = await answer.json()
    async with client.get("/health") as answer:
        health = await answer.json()

    assert [model["id"] for model in models["data"]] == ["demo"]
    assert health == {"status": "ok"}
