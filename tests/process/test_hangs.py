"""A part of the mesh hangs (SIGSTOP) in the middle of traffic, and goes on: what callers see, and the books.

Killed processes close their connections; one that hangs does not, so only limits of time tell.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
import pytest

from tests.process.test_kill import database_url
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer, own_redis_server
from tests.support.running_mesh import RunningMesh, running_mesh
from tests.support.torture import compare

__all__ = ["own_redis_server"]

MASTER_KEY = "sk-hang-test"
CONFIG = """
model_list:
  - model_name: demo
    litellm_params:
      model: openai/demo
      api_base: {url}/v1
      api_key: none-needed
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
      rpm: 1000000
router_settings: {{num_retries: 0}}
litellm_settings:
  cache: true
  cache_params: {{type: redis, url: "{redis}"}}
compression_settings: {{enabled: true, min_tokens: 20}}
"""
CALLERS = 6
CALLS_BEFORE = 30
CALLS_AFTER = 30
HANG_S = float(os.environ.get("MESHGATE_TEST_HANG_S", "6"))  # longer than any limit of a single step
CLIENT_DEADLINE_S = 60.0  # a call that takes longer hangs
CALM_DEADLINE_S = 60.0
GIVEN_UP_DEADLINE_S = 45.0  # half of what gRPC takes unless told otherwise


class Call(NamedTuple):
    """`status`: "cut" for a broken stream or connection. Times of time.monotonic()."""

    began_s: float
    ended_s: float
    status: str
    reason: str


@dataclass
class Traffic:
    """Calls without an end."""

    mesh: RunningMesh
    number: int = 0
    calls: list[Call] = field(default_factory=list)
    stopping: bool = False

    def successes(self, since_s: float = 0.0) -> int:
        """Of calls that began since then."""
        return sum(call.status == "200" and call.began_s >= since_s for call in self.calls)

    def failures(self) -> Counter[str]:
        return Counter(f"{call.status} {call.reason}" for call in self.calls if call.status != "200")

    async def caller(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            self.number += 1
            began_s = time.monotonic()
            async with asyncio.timeout(CLIENT_DEADLINE_S):
                status, reason = await self._call(session, self.number)
            self.calls.append(Call(began_s, time.monotonic(), status, reason))
            if status != "200":
                await asyncio.sleep(0.05)

    async def _call(self, session: aiohttp.ClientSession, number: int) -> tuple[str, str]:
        stream = number % 2 == 0
        question = number % 7 if number % 3 == 0 else number  # some are known to the cache
        text = f"Question {question} of this test, said at length. " * 4 + "demo:tokens=12 demo:delay=0.005"
        body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {self.mesh.master_key}"}
        url = f"{self.mesh.url}/v1/chat/completions"
        try:
            async with session.post(url, json=body, headers=headers) as answer:
                content = await answer.read()
                if answer.status != 200:
                    return str(answer.status), (await answer.json())["error"]["message"][:60]
        except aiohttp.ClientError as error:
            return "cut", type(error).__name__
        return ("cut", "stream") if stream and not content.endswith(b"data: [DONE]\n\n") else ("200", "")


def processes_of(mesh: RunningMesh, redis: RedisServer, part: str) -> Sequence[int]:
    """Who hangs. Of PostgreSQL everybody, or who serves a connection."""
    if part == "redis":
        assert redis.process_id is not None
        return [redis.process_id]
    if not part.startswith("postgresql"):
        return [mesh.process_ids()[part]]
    postmaster = mesh.process_ids()["postgresql"]
    children = [
        int(each) for each in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    ]
    if part == "postgresql":
        return [postmaster, *children]
    return [each for each in children if b"meshgate" in Path(f"/proc/{each}/cmdline").read_bytes()]


@contextmanager
def hanging(process_ids: Sequence[int]) -> Iterator[None]:
    for each in process_ids:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in process_ids:
            os.kill(each, signal.SIGCONT)


# What a client may see, by the part that hangs.
SEEN: dict[str, set[str]] = {
    "ledger": {"503", "504"},
    "router": {"500"},  # its provider closed an idle connection meanwhile; nothing is tried again here
    "cache": set(),
    "compression": set(),
    "redis": set(),
    "postgresql": {"503", "504"},
    "postgresql's sessions": {"503", "504"},
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", list(SEEN))
async def test_a_part_that_hangs_costs_no_more_than_its_limits(
    part: str, own_redis_server: RedisServer
) -> None:
    """Every call ends, as the design says; then all goes on, and the books are those of the provider."""
    async with demo_provider() as provider:
        config = CONFIG.format(url=provider.url, redis=own_redis_server.url)
        with running_mesh(config=config, environment={"LITELLM_MASTER_KEY": MASTER_KEY}) as mesh:
            traffic = Traffic(mesh)
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(traffic.caller(session))
                await eventually(lambda: traffic.successes() >= CALLS_BEFORE, "traffic")
                assert not traffic.failures()
                hung_s = time.monotonic()
                with hanging(processes_of(mesh, own_redis_server, part)):
                    await asyncio.sleep(HANG_S)  # the point of the test
                resumed_s = time.monotonic()
                await eventually(lambda: traffic.successes(resumed_s) >= CALLS_AFTER, "calls again", 60)
                traffic.stopping = True
            print(f"\n{part}: {told(traffic, hung_s, resumed_s)}")
            await eventually(lambda: closed(mesh), "every call is closed", CALM_DEADLINE_S)
            found = await compare(database_url(mesh), provider)
    assert found.clean, found
    assert {call.split()[0] for call in traffic.failures()} <= SEEN[part], traffic.failures()


@pytest.mark.timeout(300)
async def test_a_router_that_hangs_for_good_is_given_up() -> None:
    """Its calls have no limit but their deadline of ten minutes: they end with a typed error all the same and
    are in the books, since their provider may have been called."""
    async with demo_provider() as provider:
        config = CONFIG.format(url=provider.url, redis="").replace("cache: true", "cache: false")
        with running_mesh(config=config, environment={"LITELLM_MASTER_KEY": MASTER_KEY}) as mesh:
            traffic = Traffic(mesh)
            async with aiohttp.ClientSession() as session:
                callers = [asyncio.create_task(traffic.caller(session)) for _ in range(CALLERS)]
                await eventually(lambda: traffic.successes() >= CALLS_BEFORE, "traffic")
                router, known = mesh.process_ids()["router"], len(traffic.calls)
                with hanging([router]):
                    await eventually(lambda: traffic.failures(), "calls are given up", GIVEN_UP_DEADLINE_S)
                    traffic.stopping = True
                    await asyncio.gather(*callers)
            longest_s = max(call.ended_s - call.began_s for call in traffic.calls[known:])
            print(f"\na router that hangs: the longest call took {longest_s:.1f} s; {traffic.failures()}")
            await eventually(lambda: closed(mesh), "every call is closed", CALM_DEADLINE_S)
            found = await compare(database_url(mesh), provider)
    assert found.clean, found
    assert {"502", "503", "cut"} >= {call.split()[0] for call in traffic.failures()}, traffic.failures()


async def closed(mesh: RunningMesh) -> bool:
    connection = await asyncpg.connect(database_url(mesh))
    try:
        return not await connection.fetchval("SELECT count(*) FROM ledger.holds WHERE state = 'open'")
    finally:
        await connection.close()


def told(traffic: Traffic, hung_s: float, resumed_s: float) -> str:
    """What the clients saw, for whoever reads along."""
    during = [call for call in traffic.calls if call.ended_s >= hung_s and call.began_s < resumed_s]
    good = [call for call in during if call.status == "200"]
    after = [call for call in traffic.calls if call.began_s >= resumed_s]
    first_s = min(call.ended_s for call in after if call.status == "200") - resumed_s
    late = [call for call in after if call.status != "200"]
    last_s = max((call.ended_s for call in late), default=resumed_s) - resumed_s
    longest_s = max(call.ended_s - call.began_s for call in during)
    return (
        f"{len(during)} calls met it, {len(good)} went well, the longest took {longest_s:.1f} s;"
        f" the first good one ended {first_s:.2f} s after it, the last failure {last_s:.2f} s;"
        f" failures {dict(traffic.failures())}"
    )
