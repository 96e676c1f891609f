"""Recorded traffic of real providers, through the real transport, translation and stream code."""

import json
from typing import Any

import pytest

from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.support.cassettes import (
    PROVIDERS,
    UNSUPPORTED_PATHS,
    Exchange,
    Reading,
    all_exchanges,
    chat_exchanges,
    is_unsupported,
    reading,
)
from tests.support.recorded_reading import said, without_made_ids
from tests.support.replay_upstream import FRAMINGS, ReplayUpstream, replay_upstream
from tests.unit.router.support import RouterUnderTest, deployment, router

SEEDS = (1, 2)

# Recorded chat exchanges of a supported kind, so that a filter that loses some is noticed.
COUNTS = {
    "openai": 260,
    "anthropic": 157,
    "gemini": 116,
    "groq": 35,
    "mistral": 27,
    "ollama": 10,
    "azure": 26,
    "deepseek": 4,
    "openrouter": 21,
}
OPENAI_SHAPED = ("openai", "groq", "mistral", "azure", "deepseek", "openrouter")


def request_for(exchange: Exchange) -> chat_pb.ChatRequest:
    """The recorded request under the exchange's own model name; a stand-in for another shape."""
    if exchange.provider not in OPENAI_SHAPED:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": "as recorded"}]}
    else:
        body = {"messages": [], **exchange.request}
    return request_from_json({**body, "model": str(exchange)})


async def replayed(subject: RouterUnderTest, exchange: Exchange) -> Reading:
    request = request_for(exchange)
    if exchange.stream:
        result = await subject.stream(request)
        assert result.finished is not None
        return said(result.answer, result.finished.usage)
    response = (await subject.served(request)).value.response
    usage = response.usage if response.HasField("usage") else None
    return said(await subject.create(request), usage)


def subject_deployments(exchanges: list[Exchange], upstream: ReplayUpstream) -> list[Any]:
    return [
        deployment(
            str(exchange),
            exchange.prefix,
            api_base=upstream.base(exchange),
            upstream_model=exchange.model,
        )
        for exchange in exchanges
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_answers_come_out_right(provider: str, seed: int) -> None:
    """Text, reasoning, tool calls, finish reason and usage of every recorded answer, cut anywhere."""
    exchanges = [item for item in chat_exchanges(provider) if item.answers]
    wrong = []
    async with replay_upstream(exchanges, seed) as upstream:
        async with router(subject_deployments(exchanges, upstream)) as subject:
            for exchange in exchanges:
                expected, found = reading(exchange), await replayed(subject, exchange)
                if expected != without_made_ids(expected, found):
                    wrong.append((str(exchange), expected, found))

    assert [] == wrong
    assert COUNTS[provider] == len(chat_exchanges(provider))
    assert len(upstream.framings) > len(FRAMINGS) / 2


async def test_errors_come_out_right() -> None:
    """Status, message, type, code and param of every recorded error, and that it cost one call."""
    exchanges = [
        item
        for name in ("openai", "openrouter", "azure")
        for item in chat_exchanges(name)
        if not item.answers
    ]
    assert 9 == len(exchanges)
    async with replay_upstream(exchanges, 1) as upstream:
        async with router(subject_deployments(exchanges, upstream)) as subject:
            for exchange in exchanges:
                with pytest.raises(MeshError) as caught:
                    await subject.create(request_for(exchange), num_retries=0)
                told = json.loads(exchange.raw)["error"]
                metadata = caught.value.metadata
                status = told.get("status", exchange.status)
                assert str(status) == metadata["http_status"]
                assert told["message"] == metadata["provider_message"]
                assert str(told.get("type") or "") == metadata["provider_error_type"]
                assert str(told.get("code") or "") == metadata["provider_error_code"]
                assert str(told.get("param") or "") == metadata["provider_error_param"]
                assert "1" == metadata["upstream_calls"]


@pytest.mark.parametrize("provider", OPENAI_SHAPED)
async def test_requests_reach_the_provider_unharmed(provider: str) -> None:
    """What a client recorded is what the provider gets, but for the few members each dialect renames."""
    exchanges = [item for item in chat_exchanges(provider) if item.answers]
    async with replay_upstream(exchanges, 1) as upstream:
        async with router(subject_deployments(exchanges, upstream)) as subject:
            for exchange in exchanges:
                await replayed(subject, exchange)

    for exchange in exchanges:
        assert expected_body(exchange) == upstream.bodies[str(exchange)], exchange


def expected_body(exchange: Exchange) -> dict[str, Any]:
    """The recorded body with the differences that the router is to make, said again in other words."""
    body = dict(exchange.request)
    streams = exchange.stream
    body.pop("stream", None)
    options = body.pop("stream_options", None) or {}
    if streams:
        body["stream"] = True
        if exchange.provider != "mistral":
            body["stream_options"] = {**options, "include_usage": True}
    if exchange.provider == "mistral":
        if body.get("tool_choice") == "required":
            body["tool_choice"] = "any"
        body["messages"] = [flattened(message) for message in body["messages"]]
    return body


def flattened(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list) and content and {"text"} == {part["type"] for part in content}:
        return {**message, "content": "".join(part["text"] for part in content)}
    return message


def test_every_recorded_path_is_accounted_for() -> None:
    """A kind of traffic is either replayed or listed as unsupported, with a reason."""
    paths = {item.path for provider in PROVIDERS for item in all_exchanges(provider)}
    unsupported = {path for path in paths if is_unsupported(path)}
    ends = ("/completions", "/v1/messages", "enerateContent", "/api/chat", "/api/generate")

    assert paths - unsupported == {path for path in paths if path.endswith(ends)}
    assert all(any(path.endswith(end) for path in unsupported) for end in UNSUPPORTED_PATHS)
    assert all(UNSUPPORTED_PATHS.values())
