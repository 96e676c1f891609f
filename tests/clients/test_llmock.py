"""llmock grades whoever calls it on what they do when it fails: the mesh's marks, with nothing to object.

Its verdict knows a call by its body, so that what it can judge is retrying. Where a stream breaks after its
first token the mesh tells its client, with a typed error, and the client asks again; with another deployment
at hand it would go on there by itself, by a request with another body (test_llamacpp.py).
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.support.eventually import eventually
from tests.support.mesh_in_process import mesh_in_process
from tests.support.postgres import own_postgres_server, postgres_dsn, postgres_server
from tests.support.running_mesh import free_port

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]

CONFIG = """
model_list:
  - model_name: openai
    litellm_params: &limits
      model: openai/gpt-4o
      api_base: {llmock}/v1
      api_key: anything
      timeout: 5
      first_token_timeout: 1
      between_tokens_timeout: 1
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: anthropic
    litellm_params: {{<<: *limits, model: anthropic/claude-sonnet-4-5, api_base: "{llmock}/anthropic"}}
router_settings: {{num_retries: 2, allowed_fails: 1000}}
"""
MODELS = ("openai", "anthropic")
READY_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Graded:
    """A client of the mesh, and the examiner behind it."""

    client: openai.AsyncOpenAI
    llmock: str
    session: aiohttp.ClientSession

    async def scenario(self, behavior: dict[str, Any]) -> None:
        """Forgets what was, and says what the provider will do next."""
        async with self.session.post(f"{self.llmock}/_llmock/reset") as answer:
            assert 300 > answer.status
        body = {"behaviors": [behavior]}
        async with self.session.post(f"{self.llmock}/_llmock/scenario", json=body) as answer:
            assert 201 == answer.status, await answer.text()

    async def ask(self, model: str, *, stream: bool) -> str:
        """One answer's text. Raises openai.APIError."""
        messages: Any = [{"role": "user", "content": "Tell me about the sea"}]
        if not stream:
            whole = await self.client.chat.completions.create(model=model, messages=messages)
            return whole.choices[0].message.content or ""
        chunks = await self.client.chat.completions.create(model=model, messages=messages, stream=True)
        choices = [choice async for chunk in chunks for choice in chunk.choices]
        assert choices[-1].finish_reason, "a stream that ends without a reason is not whole"
        return "".join(choice.delta.content or "" for choice in choices)

    async def check_verdict(self, attempts: int) -> None:
        """Strictly: no error, no warning."""
        async with self.session.get(f"{self.llmock}/_llmock/verdict") as answer:
            verdict = await answer.json()
        assert [] == verdict["findings"]
        assert attempts == verdict["attempts"]


@pytest.fixture
async def graded(clients_python: Path, postgres_dsn: str) -> AsyncIterator[Graded]:
    folder = Path(tempfile.mkdtemp(prefix="mg"))  # short: socket paths are limited
    try:
        async with llmock(clients_python, folder) as address, aiohttp.ClientSession() as session:
            config = CONFIG.format(llmock=address)
            async with mesh_in_process(config, folder, postgres_dsn) as mesh:
                async with openai.AsyncOpenAI(
                    base_url=f"{mesh.url}/v1", api_key=mesh.master_key, max_retries=0
                ) as client:
                    yield Graded(client, address, session)
    finally:
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def llmock(python: Path, folder: Path) -> AsyncIterator[str]:
    """Its address, once it answers."""
    port = free_port()
    log = (folder / "llmock.log").open("wb")
    arguments = ["serve", "--port", str(port), "--host", "127.0.0.1", "--log-level", "warning"]
    arguments += ["--stream-chunk-delay-ms", "20"]  # so that it notices who stops reading
    process = await asyncio.create_subprocess_exec(
        python.parent / "llmock", *arguments, stdout=log, stderr=log, cwd=folder
    )
    address = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        assert process.returncode is None, (folder / "llmock.log").read_text()
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{address}/_llmock/verdict") as answer:
                    return answer.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await eventually(ready, "llmock answers", READY_S_MAX)
        yield address
    finally:
        log.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()


def broken(kind: str, after_chunks: int, **members: Any) -> dict[str, Any]:
    return {"type": "stream_fault", "kind": kind, "after_chunks": after_chunks, **members}


def fails(status: int, times: int | None = 1, **members: Any) -> dict[str, Any]:
    return {"type": "fail", "status": status, "times": times, **members}


MENDED: dict[str, tuple[dict[str, Any], int]] = {
    "429 with Retry-After": (fails(429, 2, retry_after=1), 3),
    "429": (fails(429), 2),
    "500": (fails(500, 2), 3),
    "503": (fails(503, 2), 3),
    "529": (fails(529), 2),
    "slow first token": ({"type": "slow_first_token", "seconds": 8}, 2),
    "dropped before the first token": (broken("disconnect", 0), 2),
    "ended before the first token": (broken("truncate", 0), 2),
    "malformed from the start": (broken("malformed", 0), 2),
}


@pytest.mark.parametrize("model", MODELS)
async def test_what_a_retry_can_mend(graded: Graded, model: str) -> None:
    """The client notices nothing, and llmock has nothing to object."""
    for behavior, attempts in MENDED.values():
        await graded.scenario(behavior)
        assert await graded.ask(model, stream=True)
        await graded.check_verdict(attempts)


REFUSED = {400: openai.BadRequestError, 401: openai.AuthenticationError, 404: openai.NotFoundError}
IN_THE_MIDDLE = {
    "dropped": broken("disconnect", 4),
    "ended early": broken("truncate", 4),
    "malformed": broken("malformed", 4),
    "stalled": broken("stall", 4, stall_seconds=20),
}


@pytest.mark.parametrize("model", MODELS)
async def test_what_the_client_has_to_know(graded: Graded, model: str) -> None:
    """A wrong request is tried once, an outage causes no storm, and a stream that breaks is a typed error
    where an SDK alone would have raised nothing: the client asks again."""
    for status, kind in REFUSED.items():
        await graded.scenario(fails(status))
        with pytest.raises(kind):
            await graded.ask(model, stream=False)
        await graded.check_verdict(1)

    await graded.scenario(fails(503, None))
    with pytest.raises(openai.InternalServerError):
        await graded.ask(model, stream=False)
    await graded.check_verdict(3)

    for behavior in IN_THE_MIDDLE.values():
        await graded.scenario(behavior)
        with pytest.raises(openai.APIError):
            await graded.ask(model, stream=True)
        assert await graded.ask(model, stream=True)
        await graded.check_verdict(2)
