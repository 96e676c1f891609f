"""kill -9 of any one service during traffic: the others go on as the design says, and no call is lost.

The provider keeps a record of what it served; the ledger must know every one of those calls afterwards.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.support.demo_provider import DemoProvider, demo_provider
from tests.support.eventually import eventually
from tests.support.running_mesh import RunningMesh, running_mesh

CONFIG = """
model_list:
  - model_name: demo
    litellm_params:
      model: openai/demo
      api_base: {url}/v1
      api_key: none-needed
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
router_settings:
  num_retries: 0
litellm_settings:
  cache: true
  cache_params: {{type: local}}
compression_settings: {{enabled: true, min_tokens: 20}}
"""
CALLERS = 4
CALLS_BEFORE = 12
CALLS_AFTER = 40
CLIENT_DEADLINE_S = 30.0
KNOWN_AFTER_S = 60.0
LOG_CHARS = 20_000  # of the edge's log, when a call is missing

# Which services' death no client may notice by an error.
INVISIBLE = {"cache", "compression"}


@dataclass
class Traffic:
    """Calls under way and how they ended."""

    mesh: RunningMesh
    number: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    stopping: bool = False

    async def caller(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            self.number += 1
            self.statuses[await self._call(session, self.number)] += 1

    async def _call(self, session: aiohttp.ClientSession, number: int) -> str:
        """ "200", another status, "cut" for a broken stream or connection. A hang fails the test."""
        stream = number % 2 == 0
        text = f"Call number {number} of this test. " * 4 + "demo:tokens=12 demo:delay=0.005"
        body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {self.mesh.master_key}"}
        try:
            async with asyncio.timeout(CLIENT_DEADLINE_S):
                async with session.post(
                    f"{self.mesh.url}/v1/chat/completions", json=body, headers=headers
                ) as answer:
                    content = await answer.read()
        except aiohttp.ClientError:
            await asyncio.sleep(0.02)
            return "cut"
        if answer.status != 200:
            assert "error" in json.loads(content)
            await asyncio.sleep(0.02)
            return str(answer.status)
        return "200" if not stream or content.endswith(b"data: [DONE]\n\n") else "cut"


@pytest.mark.parametrize("service", ["cache", "compression", "router", "ledger", "edge", "postgresql"])
async def test_a_killed_service_costs_no_call(service: str) -> None:
    """Traffic goes on or fails cleanly, recovers by itself, and the ledger knows every upstream call."""
    async with demo_provider() as provider:
        config = CONFIG.format(url=provider.url)
        environment = {"LITELLM_MASTER_KEY": "sk-kill-test"}
        with running_mesh(config=config, environment=environment) as mesh:
            traffic = Traffic(mesh)
            async with aiohttp.ClientSession() as session:
                callers = [asyncio.create_task(traffic.caller(session)) for _ in range(CALLERS)]
                await eventually(lambda: traffic.statuses["200"] >= CALLS_BEFORE, "traffic")
                before = Counter(traffic.statuses)
                mesh.kill(service)
                await eventually(
                    lambda: traffic.statuses["200"] >= before["200"] + CALLS_AFTER, "recovery", 90
                )
                traffic.stopping = True
                await asyncio.gather(*callers)
                served = await served_calls(session, provider)

            failures = {key: count for key, count in traffic.statuses.items() if key != "200"}
            if service in INVISIBLE:
                assert {} == failures
            assert set(failures) <= {"502", "503", "500", "cut"}, failures
            await assert_every_call_is_known(mesh, served)


async def served_calls(session: aiohttp.ClientSession, provider: DemoProvider) -> list[str]:
    """The request ids that reached the provider."""
    async with session.get(f"{provider.url}/demo/requests") as answer:
        record = await answer.json()
    assert record["count"] == len(record["requests"]), "the record is complete"
    ids = [request["request_id"] for request in record["requests"]]
    assert None not in ids, "the router names each call to the provider"
    return ids


async def assert_every_call_is_known(mesh: RunningMesh, served: list[str]) -> None:
    """An entry or an open hold for each upstream call, at the latest when the edge's spool is posted: a hold
    may be lost with PostgreSQL while its settlement is on its way. No call has two charges."""
    connection = await asyncpg.connect(database_url(mesh))
    try:
        missing: set[str] = set()

        async def all_known() -> bool:
            known = await connection.fetch(
                "SELECT request_id FROM ledger.entries"
                " UNION SELECT request_id FROM ledger.holds WHERE state = 'open'"
            )
            missing.clear()
            missing.update(set(served) - {row["request_id"] for row in known})
            return not missing

        try:
            await eventually(all_known, "every call is known", KNOWN_AFTER_S)
        except AssertionError:
            assert set() == missing, mesh.log("edge")[-LOG_CHARS:]
        charged = await connection.fetch(
            "SELECT request_id FROM ledger.entries GROUP BY 1"
            " HAVING count(*) FILTER (WHERE kind = 'charge') > 1"
        )
    finally:
        await connection.close()
    assert [] == charged


def database_url(mesh: RunningMesh) -> str:
    """Where the mesh's own PostgreSQL listens: what its ledger was told."""
    environ = Path(f"/proc/{mesh.process_ids()['ledger']}/environ").read_bytes().split(b"\0")
    return next(line.split(b"=", 1)[1].decode() for line in environ if line.startswith(b"DATABASE_URL="))
