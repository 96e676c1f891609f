"""What a mesh test talks to."""

import io
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from meshgate_ledger.verify import verify
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.support.mesh_in_process import InProcessMesh, mesh_in_process

CONFIG = """
model_list:
  - model_name: demo
    litellm_params:
      model: openai/demo
      api_base: {url}/v1
      api_key: sk-provider-secret
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: claude
    litellm_params:
      model: anthropic/claude-demo
      api_base: {url}
      api_key: sk-ant-provider-secret
      input_cost_per_token: 0.000003
      output_cost_per_token: 0.000015
  - model_name: nowhere
    litellm_params:
      model: openai/nowhere
      api_base: http://127.0.0.1:9/v1
      api_key: x
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000001
  - model_name: rescued
    litellm_params:
      model: openai/nowhere
      api_base: http://127.0.0.1:9/v1
      api_key: x
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000001
router_settings:
  num_retries: 0
  fallbacks: [{{rescued: [nowhere, demo]}}]
litellm_settings:
  cache: true
  cache_params: {{type: local, ttl: 600}}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished HTTP answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The payloads of an SSE answer, [DONE] as it is."""
        lines = [line.removeprefix(b"data: ") for line in self.body.split(b"\n\n") if line]
        return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


@dataclass(frozen=True, slots=True)
class Subject:
    """A mesh, its provider and an HTTP client."""

    mesh: InProcessMesh
    provider: DemoProvider
    session: aiohttp.ClientSession

    def headers(self, key: str | None = None) -> dict[str, str]:
        return {"authorization": f"Bearer {key or self.mesh.master_key}"}

    async def post(self, path: str, body: Any, key: str | None = None) -> Answer:
        """Sends JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**self.headers(key), "content-type": "application/json"}
        async with self.session.post(
            f"{self.mesh.url}{path}", data=io.BytesIO(data), headers=headers
        ) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.read())

    async def get(self, path: str, key: str | None = None) -> Answer:
        headers = self.headers(key)
        async with self.session.get(f"{self.mesh.url}{path}", headers=headers) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.read())

    async def ask(self, text: str, key: str | None = None, **members: Any) -> Answer:
        """One chat request."""
        body = {"model": "demo", "messages": [{"role": "user", "content": text}], **members}
        return await self.post("/v1/chat/completions", body, key)

    async def new_key(self, **members: Any) -> str:
        made = await self.post("/key/generate", members)
        assert 200 == made.status, made.body
        return str(made.json["key"])

    async def fail_next(self, *faults: str) -> None:
        """The provider's next calls, one after the other."""
        body = {"faults": [{"fault": fault, "count": 1} for fault in faults]}
        async with self.session.put(f"{self.provider.url}/demo/faults", json=body) as answer:
            assert 200 == answer.status, await answer.text()

    async def served(self) -> list[dict[str, Any]]:
        """What reached the provider."""
        async with self.session.get(f"{self.provider.url}/demo/requests") as answer:
            return list((await answer.json())["requests"])

    async def entries(self) -> list[dict[str, Any]]:
        """The ledger's entries, after its books were proved to be right."""
        await self.get("/global/spend")  # a report waits for answers whose posting is under way
        connection = await asyncpg.connect(self.mesh.database_url)
        try:
            verification = await verify(connection)
            assert () == verification.differences
            rows = await connection.fetch("SELECT * FROM ledger.entries ORDER BY start_time, entry_id")
            return [dict(row) for row in rows]
        finally:
            await connection.close()


@asynccontextmanager
async def subject_with(config: str, postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh in front of a demo provider of its own. `config`: with {url} for the provider's."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))  # short: socket paths are limited
    try:
        async with demo_provider() as provider, aiohttp.ClientSession() as session:
            async with mesh_in_process(config.format(url=provider.url), folder, postgres_dsn) as mesh:
                yield Subject(mesh, provider, session)
    finally:
        shutil.rmtree(folder)
