"""POST /v1/messages looks like Anthropic's: its own client reads every answer."""

from collections.abc import AsyncIterator

import anthropic
import pytest

from tests.support.demo_provider import DemoProvider
from tests.unit.demo.support import WEATHER, chat

TOOL = {"name": "get_weather", "description": "", "input_schema": WEATHER}


@pytest.fixture
async def messages(provider: DemoProvider) -> AsyncIterator[anthropic.resources.AsyncMessages]:
    async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="none", max_retries=0) as client:
        yield client.messages


async def test_text_as_json_and_as_stream(messages: anthropic.resources.AsyncMessages) -> None:
    """Both say the same, with the same usage."""
    whole = await messages.create(**chat(max_tokens=100, system="Be brief."))
    async with messages.stream(**chat(max_tokens=100, system="Be brief.")) as stream:
        streamed = await stream.get_final_message()

    assert whole.content[0].text == "The capital of France is Paris."
    assert streamed.content[0].text == whole.content[0].text
    assert streamed.stop_reason == whole.stop_reason == "end_turn"
    assert streamed.usage.output_tokens == whole.usage.output_tokens == 7
    assert streamed.usage.input_tokens == whole.usage.input_tokens > 0


async def test_a_tool_is_called_and_its_result_used(messages: anthropic.resources.AsyncMessages) -> None:
    """tool_use with input for the schema, as JSON and as stream; a tool_result is used in the answer."""
    ask = chat("How is the weather in Paris for 2 days?", max_tokens=100, tools=[TOOL])
    whole = await messages.create(**ask)
    async with messages.stream(**ask) as stream:
        streamed = await stream.get_final_message()
    use = whole.content[0]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees"}
    turns = [
        *ask["messages"],
        {"role": "assistant", "content": [use.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [result]},
    ]
    final = await messages.create(**{**ask, "messages": turns})

    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert use.input == streamed.content[0].input == {"location": "Paris", "days": 2}
    assert "18 degrees" in final.content[0].text


async def test_limits_are_honoured(messages: anthropic.resources.AsyncMessages) -> None:
    """max_tokens and stop_sequences name their reason."""
    limited = await messages.create(**chat("demo:tokens=50", max_tokens=5))
    stopped = await messages.create(**chat(max_tokens=50, stop_sequences=[" is"]))

    assert (limited.stop_reason, limited.usage.output_tokens) == ("max_tokens", 5)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " is")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("401", anthropic.AuthenticationError),
        ("429:2", anthropic.RateLimitError),
        ("529", anthropic.InternalServerError),
        ("error_mid_stream", anthropic.APIStatusError),
    ],
)
async def test_errors_have_its_shape(
    messages: anthropic.resources.AsyncMessages, fault: str, error: type[anthropic.APIStatusError]
) -> None:
    """Its client raises the error that the fault means."""
    with pytest.raises(error) as raised:
        async with messages.stream(**chat(f"demo:fail={fault}", max_tokens=50)) as stream:
            await stream.get_final_message()

    assert raised.value.body["type"] == "error"
