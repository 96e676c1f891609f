"""Golden requests: what each provider is sent for a request in OpenAI's shape (providers/*_requests.json)."""

import json
from pathlib import Path
from typing import Any

import pytest

from meshgate_chassis.chat.request_json import request_from_json
from meshgate_router.providers.base import ErrorKind, ProviderError, UpstreamRequest
from meshgate_router.providers.registry import providers
from tests.support.deployments import SECRET, deployment

FOLDER = Path(__file__).parent / "providers"
CASES = [case for path in sorted(FOLDER.glob("*_requests.json")) for case in json.loads(path.read_text())]


def sent(case: dict[str, Any]) -> UpstreamRequest:
    where = deployment("group", case["provider"], **{"upstream_model": "model-1", **case["deployment"]})
    request = request_from_json(case["request"])
    return providers()[case["provider"]].request(request, where, stream=case["stream"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['provider']}-{case['name']}")
def test_requests(case: dict[str, Any]) -> None:
    """The case's own promise."""
    request = sent(case)

    assert case["expected"] == {"url": request.url, "body": json.loads(request.body)}
    assert "POST" == request.method
    assert SECRET in "".join(request.headers.values())
    assert SECRET not in repr(request)


REFUSED = {
    "n": 2,
    "logprobs": True,
    "top_logprobs": 1,
    "logit_bias": {"1": 1},
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "seed": 1,
    "functions": [{"name": "f"}],
    "audio": {"voice": "x"},
    "modalities": ["audio"],
    "prediction": {"type": "content"},
    "web_search_options": {},
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_parameters_are_refused_by_name(name: str) -> None:
    """Anthropic has nothing like them: refused before anything is sent, unless they may be dropped."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], name: REFUSED[name]}
    provider = providers()["anthropic"]
    with pytest.raises(ProviderError) as caught:
        provider.request(request_from_json(body), deployment("m", "anthropic"), stream=False)
    dropped = provider.request(
        request_from_json(body), deployment("m", "anthropic", drop_params=True), stream=False
    )

    assert ErrorKind.UNSUPPORTED_PARAMETER is caught.value.kind
    assert [name] == list(caught.value.fields)
    assert not caught.value.sent
    assert name not in json.loads(dropped.body)


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def calls(**call: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [call]}]


INVALID = [
    (
        {"messages": user({"type": "image_url", "image_url": {"url": "data:image/png,xx"}})},
        "messages[0].content[0].image_url.url",
    ),
    ({"messages": user({"type": "input_audio", "input_audio": {}})}, "messages[0].content[0]"),
    ({"messages": user({"type": "file", "file": {"file_id": "f"}})}, "messages[0].content[0].file.file_data"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    (
        {"messages": calls(id="c", type="function", function={"name": "f", "arguments": "{"})},
        "messages[1].tool_calls[0].function.arguments",
    ),
    (
        {"messages": calls(id="c", type="function", function={"name": "f", "arguments": "[1]"})},
        "messages[1].tool_calls[0].function.arguments",
    ),
    ({"messages": calls(type="function", function={"name": "f"})}, "messages[1].tool_calls[0].id"),
    ({"tool_choice": "sometimes"}, "tool_choice"),
    ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
]


@pytest.mark.parametrize(("members", "path"), INVALID)
def test_values_without_translation_are_refused_by_path(members: dict[str, Any], path: str) -> None:
    """The error names the member as a client wrote it."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    with pytest.raises(ProviderError) as caught:
        providers()["anthropic"].request(request_from_json(body), deployment("m", "anthropic"), stream=False)

    assert (ErrorKind.FIELD_INVALID, [path], False) == (
        caught.value.kind,
        list(caught.value.fields),
        caught.value.sent,
    )
