"""A real engine behind the mesh: llama.cpp's server, with a tiny model of random weights."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.support.eventually import eventually
from tests.support.mesh_in_process import InProcessMesh, mesh_in_process
from tests.support.postgres import own_postgres_server, postgres_dsn, postgres_server
from tests.support.running_mesh import free_port

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]

ENGINE = Path(__file__).parent / "programs" / "engine.py"
READY_S_MAX = 60.0
CONFIG = """
model_list:
  - model_name: tiny
    litellm_params: &tiny
      model: openai/tiny
      api_base: {engine}/v1
      api_key: none
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: vllm
    litellm_params: {{<<: *tiny, model: hosted_vllm/tiny}}
  - model_name: cut
    litellm_params: {{<<: *tiny, api_base: "{proxy}/v1"}}
  - model_name: long
    litellm_params: *tiny
router_settings:
  num_retries: 0
  allowed_fails: 1000
  fallbacks: [{{cut: [vllm]}}]
"""
# Without penalties a model of random weights says one letter for ever.
QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello, who are you?"}],
    "temperature": 0,
    "max_tokens": 60,
    "frequency_penalty": 1.0,
    "presence_penalty": 0.5,
}


class CuttingProxy:
    """Passes a stream on until `events` server-sent events have gone through, and then hangs up."""

    def __init__(self, engine_port: int) -> None:
        self._engine_port = engine_port
        self.events = 10**9
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._engine_port)
        request = asyncio.ensure_future(self._pass_on(reader, onward))
        left = self.events
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while left > 0:
                data = await there.readuntil(b"\n\n")
                left -= data.count(b"data: ")
                writer.write(data)
                await writer.drain()
        request.cancel()
        writer.close()
        onward.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def engine(python: Path, folder: Path) -> AsyncIterator[int]:
    """The engine's port, once it answers."""
    port = free_port()
    log = (folder / "engine.log").open("wb")
    process = await asyncio.create_subprocess_exec(python, ENGINE, folder, str(port), stdout=log, stderr=log)

    async def ready() -> bool:
        assert process.returncode is None, (folder / "engine.log").read_text()
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/health") as answer:
                    return answer.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await eventually(ready, "the engine answers", READY_S_MAX)
        yield port
    finally:
        log.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def proxy(engine_port: int) -> AsyncIterator[CuttingProxy]:
    subject = CuttingProxy(engine_port)
    server = await asyncio.start_server(subject.serve, "127.0.0.1", 0)
    subject.port = server.sockets[0].getsockname()[1]
    try:
        yield subject
    finally:
        server.close()


@pytest.fixture
async def parts(
    clients_python: Path, postgres_dsn: str
) -> AsyncIterator[tuple[InProcessMesh, CuttingProxy, openai.AsyncOpenAI]]:
    """The mesh in front of the engine, what may cut it, and a client."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))  # short: socket paths are limited
    try:
        async with engine(clients_python, folder) as port, proxy(port) as cutting:
            config = CONFIG.format(
                engine=f"http://127.0.0.1:{port}", proxy=f"http://127.0.0.1:{cutting.port}"
            )
            async with mesh_in_process(config, folder, postgres_dsn) as mesh:
                async with openai.AsyncOpenAI(
                    base_url=f"{mesh.url}/v1", api_key=mesh.master_key, max_retries=0
                ) as client:
                    yield mesh, cutting, client
    finally:
        shutil.rmtree(folder)


async def streamed(client: openai.AsyncOpenAI, model: str) -> tuple[str, Any]:
    """Text and the last chunk of a stream."""
    stream = await client.chat.completions.create(
        model=model, stream=True, stream_options={"include_usage": True}, **QUESTION
    )
    pieces, last = [], None
    async for last in stream:
        pieces += [choice.delta.content or "" for choice in last.choices]
    return "".join(pieces), last


async def test_a_real_engine(parts: tuple[InProcessMesh, CuttingProxy, openai.AsyncOpenAI]) -> None:
    """Whole and streamed answers agree, with its own usage; stop sequences, limits and errors are its own."""
    _, _, client = parts
    whole = await client.chat.completions.create(model="tiny", **QUESTION)
    text, last = await streamed(client, "tiny")
    want = whole.choices[0].message.content or ""
    stopped = await client.chat.completions.create(model="tiny", stop=[want[10]], **QUESTION)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "too long " * 200}], max_tokens=5
        )

    assert 60 == len(want) == whole.usage.completion_tokens
    assert "length" == whole.choices[0].finish_reason
    assert want == text
    assert whole.usage.completion_tokens == last.usage.completion_tokens
    assert whole.usage.prompt_tokens == last.usage.prompt_tokens
    assert "stop" == stopped.choices[0].finish_reason
    assert want.startswith(stopped.choices[0].message.content)
    assert "ContextWindowExceeded" in str(refused.value)


@pytest.mark.parametrize("events", [3, 11, 24, 45, 59])
async def test_a_stream_of_a_real_engine_is_continued(
    parts: tuple[InProcessMesh, CuttingProxy, openai.AsyncOpenAI], events: int
) -> None:
    """Cut in the middle; llama.cpp goes on from the prefix: the same text to the character."""
    _, cutting, client = parts
    want, _ = await streamed(client, "tiny")
    cutting.events = events
    text, last = await streamed(client, "cut")

    assert want == text
    assert last.usage is not None
