"""What is sent to providers is of the types that their own SDKs declare, for every request there may be."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_chassis.chat.request_json import request_from_json
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.providers.registry import providers
from tests.golden.sdk_types import check_anthropic, check_google, check_openai, check_openai_text
from tests.golden.test_requests import CASES
from tests.support.deployments import deployment

TABLE = providers()
UNKNOWN = {"unheard_of", "random_seed", "top_k"}  # members of golden cases that are not OpenAI's
# Anthropic's newest SDK does not declare what its newest models refuse, and older models still take.
SAMPLING = {"temperature", "top_p", "top_k"}
REFUSALS = (ErrorKind.UNSUPPORTED_PARAMETER, ErrorKind.FIELD_INVALID)

Check = Callable[[dict[str, Any]], None]


def check_of(url: str) -> Check | None:
    """The judge of a request; Ollama's SDK has no types for requests."""
    if "enerateContent" in url:
        return check_google
    if url.endswith("/v1/messages"):
        return check_anthropic
    path = url.partition("?")[0]
    if path.endswith("/chat/completions"):
        return check_openai
    return check_openai_text if path.endswith("/completions") else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['provider']}-{case['name']}")
def test_golden_requests(case: dict[str, Any]) -> None:
    """Every golden request."""
    body, check = case["expected"]["body"], check_of(case["expected"]["url"])
    left_out = UNKNOWN | (SAMPLING if check is check_anthropic else set())
    # Mistral says "any" for "required"; pydantic takes lists of tokens for lists of numbers.
    if check is not None and case["provider"] != "mistral" and not isinstance(body.get("prompt"), list):
        check({name: value for name, value in body.items() if name not in left_out})


names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
texts = st.text(max_size=12)
schemas = st.sampled_from(
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"m": {"type": "array", "items": {"enum": ["x", "y"]}}}},
    ]
)
tools = st.builds(
    lambda name, schema: {
        "type": "function",
        "function": {"name": name, **({"parameters": schema} if schema else {})},
    },
    names,
    st.none() | schemas,
)
parts = st.one_of(
    texts.map(lambda text: {"type": "text", "text": text}),
    st.sampled_from(["https://example.org/a.png", "data:image/png;base64,aGk="]).map(
        lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    ),
    st.just({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}),
    st.just({"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}}),
    st.just({"type": "file", "file": {"file_id": "file-1"}}),
)


@st.composite
def exchanges_with_tools(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A turn of the model with calls, and their results."""
    called = draw(st.lists(names, min_size=1, max_size=3))
    calls = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": '{"a": 1}'}}
        for number, name in enumerate(called)
    ]
    turn = {"role": "assistant", "content": draw(st.none() | texts), "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls]
    return [turn, *results]


conversations = st.lists(
    st.one_of(
        st.builds(
            lambda role, text: [{"role": role, "content": text}],
            st.sampled_from(["system", "developer"]),
            texts,
        ),
        texts.map(lambda text: [{"role": "user", "content": text}]),
        st.lists(parts, min_size=1, max_size=3).map(lambda found: [{"role": "user", "content": found}]),
        texts.map(lambda text: [{"role": "assistant", "content": text}]),
        exchanges_with_tools(),
    ),
    min_size=1,
    max_size=5,
).map(lambda turns: [message for turn in turns for message in turn])

OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "tools": st.lists(tools, min_size=1, max_size=3, unique_by=lambda tool: tool["function"]["name"]),
    "tool_choice": st.sampled_from(["auto", "none", "required"])
    | names.map(lambda name: {"type": "function", "function": {"name": name}}),
    "parallel_tool_calls": st.booleans(),
    "max_tokens": st.integers(1, 10_000),
    "max_completion_tokens": st.integers(1, 10_000),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "n": st.integers(1, 3),
    "seed": st.integers(0, 2**31 - 1),
    "stop": texts | st.lists(texts, max_size=4),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "logit_bias": st.just({"50256": -100}) | st.just({}),
    "logprobs": st.booleans(),
    "top_logprobs": st.integers(0, 20),
    "user": texts,
    "metadata": st.dictionaries(names, texts, max_size=2),
    "modalities": st.sampled_from([["text"], ["text", "audio"]]),
    "audio": st.just({"voice": "alloy", "format": "wav"}),
    "prediction": st.just({"type": "content", "content": "x"}),
    "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
    "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}])
    | schemas.map(lambda schema: {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
    "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
    "store": st.booleans(),
    "prompt_cache_key": texts,
    "safety_identifier": texts,
    "verbosity": st.sampled_from(["low", "medium", "high"]),
    "web_search_options": st.just({}),
}
requests = st.builds(
    lambda messages, options: {"model": "m", "messages": messages, **options},
    conversations,
    st.fixed_dictionaries({}, optional=OPTIONS),
)

MODELS = [
    ("openai", "gpt-5"),
    ("groq", "llama"),
    ("deepseek", "deepseek-chat"),
    ("openrouter", "a/b"),
    ("hosted_vllm", "x"),
    ("together_ai", "x"),
    ("azure", "d"),
    ("anthropic", "claude-3-5-haiku"),
    ("anthropic", "claude-opus-4-7"),
    ("gemini", "gemini-2.5-pro"),
    ("gemini", "gemini-3-flash-preview"),
    ("ollama_chat", "llama3"),
    ("text-completion-openai", "gpt-3.5-turbo-instruct"),
]


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize("drop_params", [False, True])
@settings(max_examples=60, deadline=None)
@given(request=requests, stream=st.booleans())
def test_any_request(
    provider: str, model: str, drop_params: bool, request: dict[str, Any], stream: bool
) -> None:
    """It is said in the provider's terms, or refused by the name of a member that it has."""
    check_openai(request)  # else the test would prove nothing
    where = deployment(
        "m", provider, upstream_model=model, api_base="http://localhost", drop_params=drop_params
    )
    try:
        sent = TABLE[provider].request(request_from_json(request), where, stream=stream)
    except ProviderError as error:
        assert error.kind in REFUSALS
        assert not error.sent
        (path,) = error.fields
        assert path.partition("[")[0].partition(".")[0] in request
        assert not (drop_params and error.kind is ErrorKind.UNSUPPORTED_PARAMETER)
        return
    body = json.loads(sent.body)
    check = check_of(sent.url)
    if check is check_anthropic and model != "claude-opus-4-7":
        check({name: value for name, value in body.items() if name not in SAMPLING})
    elif check is not None:
        check(body)
    assert stream == (body.get("stream") is True or "streamGenerateContent" in sent.url)
