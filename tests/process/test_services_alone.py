"""Each service starts alone, from environment variables, and drains on SIGTERM: as in a container."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from meshgate_chassis.rpc import check_health
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.postgres import postgres_dsn, postgres_server
from tests.support.running_mesh import free_port, up_environment

__all__ = ["postgres_dsn", "postgres_server"]

SERVICES = ("ledger", "cache", "compression", "router", "edge")
MASTER_KEY = "sk-alone-master"  # of this test only
CONFIG = """
model_list:
  - model_name: demo
    litellm_params: {{model: openai/demo, api_base: "{url}/v1", api_key: none-needed}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
"""


@dataclass
class Services:
    """The processes by service name."""

    url: str
    processes: dict[str, "subprocess.Popen[bytes]"]

    async def stream(self, session: aiohttp.ClientSession, text: str) -> AsyncIterator[bytes]:
        body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        async with session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as answer:
            assert 200 == answer.status
            async for line in answer.content:
                if line.strip():
                    yield line.strip()


@pytest.fixture
async def services(postgres_dsn: str) -> AsyncIterator[Services]:
    """Five `python -m meshgate_SERVICE`, with nothing but their environment."""
    async with demo_provider() as provider:
        with tempfile.TemporaryDirectory(prefix="mg") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            (folder / "config.yaml").write_text(CONFIG.format(url=provider.url))
            port = free_port()
            environment = environment_of(folder, postgres_dsn, port)
            processes = {
                service: stack.enter_context(running(service, environment, folder)) for service in SERVICES
            }
            for service in SERVICES:
                target = f"unix:{folder}/{service}.sock"

                async def serves(target: str = target, service: str = service) -> bool:
                    assert processes[service].poll() is None, (folder / f"{service}.log").read_text()
                    return await check_health(target, tls=None, server_name=service, timeout_s=1.0)

                await eventually(serves, f"{service} serves", 60)
            ready = Services(f"http://127.0.0.1:{port}", processes)
            await eventually(lambda: is_ready(ready.url), "the edge is ready", 60)
            yield ready


def environment_of(folder: Path, database_url: str, port: int) -> dict[str, str]:
    sockets = {f"MESHGATE_{name.upper()}_LISTEN": f"unix:{folder}/{name}.sock" for name in SERVICES}
    leaves = [name for name in SERVICES if name != "edge"]
    addresses = {f"MESHGATE_{name.upper()}_ADDRESS": f"unix:{folder}/{name}.sock" for name in leaves}
    return up_environment(
        {
            "CONFIG_FILE_PATH": str(folder / "config.yaml"),
            "DATABASE_URL": database_url,
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "MESHGATE_MESH_SECRET": "a secret for services alone",
            "MESHGATE_EDGE_HOST": "127.0.0.1",
            "MESHGATE_EDGE_PORT": str(port),
            **sockets,
            **addresses,
        }
    )


@contextlib.contextmanager
def running(service: str, environment: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    others = ["_ADDRESS", "_LISTEN", "_HOST", "_PORT"]
    own = {
        name: value
        for name, value in environment.items()
        if service == "edge"
        or not (name.startswith("MESHGATE_") and name.endswith(tuple(others)))
        or name == f"MESHGATE_{service.upper()}_LISTEN"
    }
    with (folder / f"{service}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"meshgate_{service}"], env=own, cwd=folder, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def is_ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/health/readiness") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def test_sigterm_lets_streams_finish_and_settles_them(services: Services, postgres_dsn: str) -> None:
    """Every service gets SIGTERM in the middle of a stream: it ends whole, billed, and all exit with 0."""
    lines = []
    async with aiohttp.ClientSession() as session:
        async for line in services.stream(session, "Go on demo:tokens=60 demo:delay=0.02"):
            lines.append(line)
            if len(lines) == 5:
                services.processes["edge"].send_signal(signal.SIGTERM)
    codes = {"edge": await exit_code(services.processes["edge"])}
    for name in ("router", "cache", "compression", "ledger"):
        services.processes[name].send_signal(signal.SIGTERM)
        codes[name] = await exit_code(services.processes[name])

    assert b"data: [DONE]" == lines[-1]
    assert dict.fromkeys(SERVICES, 0) == codes
    connection = await asyncpg.connect(postgres_dsn)
    rows = await connection.fetch("SELECT outcome, estimated, completion_tokens FROM ledger.entries")
    await connection.close()
    assert [("success", False, 60)] == [(row[0].lower(), row[1], row[2]) for row in rows]


async def test_a_second_signal_ends_it_at_once(services: Services) -> None:
    """Nobody has to wait for a stream that goes on and on."""
    edge = services.processes["edge"]
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            async for _ in services.stream(session, "Go on demo:tokens=10000 demo:delay=0.05"):
                if edge.poll() is None:
                    edge.send_signal(signal.SIGTERM)
    assert 0 != await exit_code(edge)


async def exit_code(process: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < end, "the process did not end"
        await asyncio.sleep(0.02)
    return int(process.returncode)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_says_what_it_misses(service: str) -> None:
    """Without its settings: one line that names them, and exit code 2."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHGATE_")}
    ran = subprocess.run(
        [sys.executable, "-m", f"meshgate_{service}"], env=kept, capture_output=True, text=True, check=False
    )

    assert 2 == ran.returncode
    assert "MESHGATE_MESH_SECRET" in ran.stderr
    assert "Traceback" not in ran.stderr
