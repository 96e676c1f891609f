"""Recorded traffic of real providers through the whole mesh: HTTP in, five services, raw bytes behind.

What the client of meshgate reads is judged by the same plain reading as the recording itself.
"""

import asyncio
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.mesh.subject import Subject
from tests.support.cassettes import Exchange, Reading, chat_exchanges, reading
from tests.support.demo_provider import DemoProvider
from tests.support.mesh_in_process import mesh_in_process
from tests.support.recorded_reading import without_made_ids
from tests.support.replay_upstream import ReplayUpstream, replay_upstream

# Of answers, legacy text completions among them; the router's own tests replay the errors as well.
COUNTS = {
    "openai": 254,
    "anthropic": 157,
    "gemini": 116,
    "groq": 35,
    "mistral": 27,
    "ollama": 10,
    "azure": 24,
    "deepseek": 4,
    "openrouter": 20,
}
OWN_SHAPE = ("anthropic", "gemini", "ollama")
AT_ONCE = 8


def config_of(exchanges: list[Exchange], upstream: ReplayUpstream) -> str:
    """One model for each exchange: its name says which recording answers."""
    deployments = [
        {
            "model_name": str(exchange),
            "litellm_params": {
                "model": f"{exchange.prefix}/{exchange.model}",
                "api_base": upstream.base(exchange),
                "api_key": "sk-recorded",
                "input_cost_per_token": 1e-6,
                "output_cost_per_token": 2e-6,
            },
        }
        for exchange in exchanges
    ]
    return json.dumps({"model_list": deployments})  # JSON is YAML


def request_of(exchange: Exchange) -> dict[str, Any]:
    """The recorded request under the exchange's own model name; a stand-in for other shapes."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "as recorded"}]}
    if exchange.provider not in OWN_SHAPE and exchange.prefix == exchange.provider:
        body = dict(exchange.request)
    body |= {"model": str(exchange), "stream": exchange.stream}
    if exchange.stream:
        body["stream_options"] = {"include_usage": True}
    return body


async def read_through_the_mesh(subject: Subject, exchange: Exchange) -> Reading:
    answer = await subject.post("/v1/chat/completions", request_of(exchange))
    assert 200 == answer.status, answer.body
    raw = answer.body
    if exchange.stream:
        assert raw.endswith(b"data: [DONE]\n\n")
    return reading(replace(exchange, provider="openai", path="/v1/chat/completions", raw=raw))


@pytest.mark.parametrize("provider", COUNTS)
async def test_answers_come_out_right(provider: str, postgres_dsn: str) -> None:
    """Text, reasoning, tool calls, finish reason and usage of every exchange; the ledger bills its usage."""
    exchanges = [item for item in chat_exchanges(provider) if item.answers]
    assert COUNTS[provider] == len(exchanges)
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    wrong = []
    try:
        async with replay_upstream(exchanges, 7) as upstream:
            config = config_of(exchanges, upstream)
            async with (
                mesh_in_process(config, folder, postgres_dsn) as mesh,
                aiohttp.ClientSession() as session,
            ):
                subject = Subject(mesh, DemoProvider("", "", 0), session)
                gate = asyncio.Semaphore(AT_ONCE)

                async def check(exchange: Exchange) -> None:
                    async with gate:
                        found = await read_through_the_mesh(subject, exchange)
                    expected = reading(exchange)
                    if expected.usage is None:
                        found.usage = None  # meshgate counts what the provider did not report
                    if expected != without_made_ids(expected, found):
                        wrong.append((str(exchange), expected, found))

                await asyncio.gather(*(check(exchange) for exchange in exchanges))
                entries = {entry["model"]: entry for entry in await subject.entries()}
    finally:
        shutil.rmtree(folder)

    assert [] == wrong
    for exchange in exchanges:
        entry = entries[str(exchange)]
        usage = reading(exchange).usage
        assert (usage is None) == entry["estimated"], exchange
        if usage is not None:
            assert usage == (entry["prompt_tokens"], entry["completion_tokens"], entry["cached_tokens"])
