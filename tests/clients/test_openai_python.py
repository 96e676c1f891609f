"""The official Python client, against `meshgate up` as a newcomer starts it."""

import time

import openai
import pytest

from tests.support.running_mesh import RunningMesh

MODEL = "demo"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def client(started_mesh: RunningMesh) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{started_mesh.url}/v1", api_key=started_mesh.master_key, max_retries=0, timeout=30
    )


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_completion(client: openai.OpenAI) -> None:
    """Text, finish reason and usage."""
    answer = client.chat.completions.create(model=MODEL, messages=ask("What is the capital of France?"))

    assert "Paris" in (answer.choices[0].message.content or "")
    assert "stop" == answer.choices[0].finish_reason
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_the_base_url_without_v1(started_mesh: RunningMesh) -> None:
    """`/chat/completions` answers as well."""
    client = openai.OpenAI(base_url=started_mesh.url, api_key=started_mesh.master_key, max_retries=0)

    answer = client.chat.completions.create(model=MODEL, messages=ask("Hello"))

    assert answer.choices[0].message.content


def test_a_stream_arrives_chunk_by_chunk(client: openai.OpenAI) -> None:
    """The first chunk comes long before the last, and the usage comes once, at the end."""
    started = time.monotonic()
    arrivals, texts, usages = [], [], []
    question = ask("Tell me about gateways demo:tokens=20 demo:delay=0.05")
    for chunk in client.chat.completions.create(
        model=MODEL, messages=question, stream=True, stream_options={"include_usage": True}
    ):
        if chunk.choices and chunk.choices[0].delta.content:
            arrivals.append(time.monotonic() - started)
            texts.append(chunk.choices[0].delta.content)
        if chunk.usage:
            usages.append(chunk.usage)

    assert 20 == usages[0].completion_tokens
    assert 1 == len(usages)
    assert len(arrivals) > 5
    assert arrivals[0] < arrivals[-1] / 2


def test_a_stream_without_include_usage_has_none(client: openai.OpenAI) -> None:
    """Nobody asked for it."""
    chunks = list(client.chat.completions.create(model=MODEL, messages=ask("Hi"), stream=True))

    assert [] == [chunk for chunk in chunks if chunk.usage is not None]
    assert "stop" == chunks[-1].choices[0].finish_reason


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call(client: openai.OpenAI, stream: bool) -> None:
    """The model asks for a tool, gets its result, and answers with it."""
    question = ask("What is the weather in Paris? Use get_weather.")
    choice = {"type": "function", "function": {"name": "get_weather"}}
    if stream:
        with client.chat.completions.stream(
            model=MODEL, messages=question, tools=[WEATHER], tool_choice=choice
        ) as events:
            message = events.get_final_completion().choices[0].message
    else:
        answer = client.chat.completions.create(
            model=MODEL, messages=question, tools=[WEATHER], tool_choice=choice
        )
        message = answer.choices[0].message

    assert message.tool_calls
    call = message.tool_calls[0]
    assert "get_weather" == call.function.name
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees and sunny"}
    history = [*question, message.model_dump(exclude_none=True), result]
    final = client.chat.completions.create(model=MODEL, messages=history, tools=[WEATHER])

    assert "21 degrees" in (final.choices[0].message.content or "")


def test_models_are_listed(client: openai.OpenAI) -> None:
    """By list and by name."""
    assert MODEL in [model.id for model in client.models.list()]
    assert MODEL == client.models.retrieve(MODEL).id


def test_a_virtual_key_spends_and_stops_at_its_budget(
    started_mesh: RunningMesh, client: openai.OpenAI
) -> None:
    """A key made with a budget works, its spend grows by each call, and it never goes over its cap."""
    admin = openai.OpenAI(base_url=started_mesh.url, api_key=started_mesh.master_key, max_retries=0)
    made = admin.post("/key/generate", cast_to=object, body={"max_budget": 0.0001, "models": [MODEL]})
    assert isinstance(made, dict)
    own = openai.OpenAI(base_url=f"{started_mesh.url}/v1", api_key=made["key"], max_retries=0)

    refused: openai.RateLimitError | None = None
    spends = []
    for _ in range(40):
        try:
            own.chat.completions.create(model=MODEL, messages=ask("Hello there"), max_tokens=10)
        except openai.RateLimitError as error:
            refused = error
            break
        info = admin.get("/key/info", cast_to=object, options={"params": {"key": made["key"]}})
        assert isinstance(info, dict)
        spends.append(info["info"]["spend"])

    assert refused is not None
    assert "budget_exceeded" == refused.type
    assert spends == sorted(set(spends))
    assert spends[-1] <= 0.0001


@pytest.mark.parametrize(
    ("model", "key", "expected"),
    [
        ("no-such-model", None, openai.BadRequestError),
        (MODEL, "sk-this-key-is-not-known", openai.AuthenticationError),
    ],
)
def test_mistakes_are_told_apart(
    started_mesh: RunningMesh, model: str, key: str | None, expected: type[openai.APIStatusError]
) -> None:
    """An unknown model and an unknown key."""
    client = openai.OpenAI(
        base_url=f"{started_mesh.url}/v1", api_key=key or started_mesh.master_key, max_retries=0
    )
    with pytest.raises(expected):
        client.chat.completions.create(model=model, messages=ask("x"))
