"""`meshgate up` while what it starts is killed again and again, also in the middle of its start."""

import asyncio
import time
from collections import Counter

import aiohttp
import pytest

from tests.process.test_kill import CONFIG, Traffic, assert_every_call_is_known, served_calls
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.running_mesh import RunningMesh, running_mesh

CALLERS = 4
CALLS_BEFORE = 12
CALLS_AFTER = 20
KILLS = 4
RECOVERY_S = 90.0  # the last start but one was backed off for a fraction of it


async def kill_next(mesh: RunningMesh, service: str) -> None:
    """As soon as there is one; returns when the supervisor knows."""
    await eventually(lambda: service in mesh.process_ids(), f"{service} is started", 60)
    killed = mesh.kill(service)
    await eventually(lambda: mesh.process_ids().get(service) != killed, "its end is seen", 60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("services", [("edge",), ("postgresql", "ledger")])
async def test_a_service_that_is_killed_while_it_starts_comes_back(services: tuple[str, ...]) -> None:
    """Each new process is killed as soon as it is there; then traffic goes on, and no call is lost."""
    async with demo_provider() as provider:
        environment = {"LITELLM_MASTER_KEY": "sk-kill-test"}
        with running_mesh(config=CONFIG.format(url=provider.url), environment=environment) as mesh:
            traffic = Traffic(mesh)
            async with aiohttp.ClientSession() as session:
                callers = [asyncio.create_task(traffic.caller(session)) for _ in range(CALLERS)]
                await eventually(lambda: traffic.statuses["200"] >= CALLS_BEFORE, "traffic")
                for _ in range(KILLS):
                    for service in services:
                        await kill_next(mesh, service)
                before, killed_s = Counter(traffic.statuses), time.monotonic()
                await eventually(
                    lambda: traffic.statuses["200"] >= before["200"] + CALLS_AFTER, "recovery", RECOVERY_S
                )
                print(f"\n{services}: traffic again after {time.monotonic() - killed_s:.1f} s")
                traffic.stopping = True
                await asyncio.gather(*callers)
                served = await served_calls(session, provider)
            failures = {key: count for key, count in traffic.statuses.items() if key != "200"}
            assert set(failures) <= {"502", "503", "504", "500", "cut"}, failures
            await assert_every_call_is_known(mesh, served)
