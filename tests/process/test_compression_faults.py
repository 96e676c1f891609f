"""The compression service killed or hanging under load: calls go on uncompressed, and it is used again."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.support.demo_provider import demo_provider
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
router_settings: {{num_retries: 0}}
compression_settings: {{enabled: true}}
"""
CALLERS = 4
CLIENT_DEADLINE_S = 10.0  # a call that takes longer hangs
DOCUMENT = " ".join(f"Keeper {n} wrote about the weather, which was fine on day {n}." for n in range(120))


@dataclass
class Traffic:
    """Calls under way; `results`: what became of their compression; `durations_s`: of each call, in order."""

    mesh: RunningMesh
    session: aiohttp.ClientSession
    number: int = 0
    results: Counter[str] = field(default_factory=Counter)
    durations_s: list[float] = field(default_factory=list)

    async def caller(self) -> None:
        while True:
            self.number += 1
            start_s = time.monotonic()
            self.results[await self._call(self.number)] += 1
            self.durations_s.append(time.monotonic() - start_s)

    async def _call(self, number: int) -> str:
        """ "compressed", another result, or the status of a failure."""
        text = f"<context>{number} {DOCUMENT}</context>\nWhat did keeper 7 write? demo:tokens=5"
        body = {"model": "demo", "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {self.mesh.master_key}"}
        url = f"{self.mesh.url}/v1/chat/completions"
        async with asyncio.timeout(CLIENT_DEADLINE_S):
            async with self.session.post(url, json=body, headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    return str(answer.status)
                shorter = "x-meshgate-compressed-prompt-tokens" in answer.headers
                result = answer.headers["x-meshgate-compression"]
                assert shorter == (result == "compressed")
                return result


@asynccontextmanager
async def traffic() -> AsyncIterator[Traffic]:
    """Calls that are all compressed, until the end."""
    async with demo_provider() as provider:
        environment = {"LITELLM_MASTER_KEY": "sk-fault-test"}
        with running_mesh(config=CONFIG.format(url=provider.url), environment=environment) as mesh:
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
                under_way = Traffic(mesh, session)
                callers = [group.create_task(under_way.caller()) for _ in range(CALLERS)]
                await eventually(lambda: under_way.results["compressed"] >= 12, "compressed calls")
                assert {"compressed"} == set(under_way.results)
                try:
                    yield under_way
                finally:
                    for caller in callers:
                        caller.cancel()


def uncompressed(calls: Traffic) -> int:
    return sum(count for result, count in calls.results.items() if result != "compressed")


def told(calls: Traffic, since: int) -> str:
    """How long the calls took, for whoever reads along."""
    durations = sorted(calls.durations_s[since:])
    picked = [durations[int(share * (len(durations) - 1))] for share in (0.5, 0.95, 1)]
    return "p50 {:.3f} s, p95 {:.3f} s, max {:.3f} s".format(*picked) + f" of {len(durations)} calls"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_calls_go_on_uncompressed(number: signal.Signals) -> None:
    """No call fails or hangs, and when the service answers again, prompts are shortened again."""
    async with traffic() as calls:
        pid = calls.mesh.process_ids()["compression"]
        since = len(calls.durations_s)
        os.kill(pid, number)
        try:
            await eventually(lambda: uncompressed(calls) >= (40 if number == signal.SIGSTOP else 1), "calls")
        finally:
            if number == signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)
        print(f"\n{number.name}: {told(calls, since)}; {dict(calls.results)}")
        before = calls.results["compressed"]
        await eventually(lambda: calls.results["compressed"] >= before + 20, "compression again", 60)

        assert not [result for result in calls.results if result.isdigit()], calls.results
