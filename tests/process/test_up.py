"""`meshgate up` as a user meets it: what it prints works, Ctrl-C leaves nothing, a second start remembers."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp

from tests.support.eventually import eventually
from tests.support.running_mesh import RunningMesh, free_port, running_mesh, up_environment

HELLO = {"model": "demo", "messages": [{"role": "user", "content": "What is the capital of France?"}]}


async def test_the_printed_curl_line_works() -> None:
    """Copied as it stands, it is answered."""
    with running_mesh() as mesh:
        said = mesh.output.read_text()
        line = re.search(r"curl .*?\}'", said, re.DOTALL)
        assert line is not None, said
        ran = subprocess.run(["/bin/sh", "-c", line.group()], capture_output=True, text=True, check=False)

    assert "Paris" in ran.stdout, ran.stderr


async def test_every_service_is_a_process_of_its_own() -> None:
    """Five services, and what they need."""
    with running_mesh() as mesh:
        pids = mesh.process_ids()

        assert {"edge", "router", "cache", "compression", "ledger", "postgresql", "demo"} <= set(pids)
        assert len(set(pids.values())) == len(pids)
        assert all(_alive(pid) for pid in pids.values())
    assert [] == [name for name, pid in pids.items() if _alive(pid)]


async def test_nothing_is_left_even_when_the_supervisor_is_killed() -> None:
    """kill -9 of `meshgate up` itself ends all of its processes."""
    with tempfile.TemporaryDirectory(prefix="mg") as name:
        folder = Path(name)
        folder.chmod(0o755)
        supervisor = _start(folder, free_port())
        try:
            await eventually(lambda: (folder / "state" / "processes.json").exists(), "a start", 60)
            await eventually(lambda: "is ready" in (folder / "output.txt").read_text(), "ready", 60)
            mesh = RunningMesh("", "", folder / "state", folder / "output.txt", supervisor)
            pids = mesh.process_ids()
        finally:
            supervisor.kill()
            supervisor.wait()
        left = list(pids.values())
        await eventually(lambda: not any(_alive(pid) for pid in left), "all processes end", 30)


async def test_a_second_start_keeps_keys_and_spend() -> None:
    """The same state folder: the same master key, the same virtual key, its spend as it was."""
    with tempfile.TemporaryDirectory(prefix="mg") as name:
        folder = Path(name)
        folder.chmod(0o755)
        spends, keys = [], []
        for _ in range(2):
            port = free_port()
            supervisor = _start(folder, port)
            try:
                await eventually(lambda: "is ready" in (folder / "output.txt").read_text(), "ready", 60)
                master = (folder / "state" / "master-key").read_text().strip()
                async with aiohttp.ClientSession(
                    f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {master}"}
                ) as session:
                    if not keys:
                        keys.append(await _new_key(session))
                        await _call(session, keys[0])
                    spends.append(await _spend(session, keys[0]))
            finally:
                supervisor.send_signal(signal.SIGINT)
                supervisor.wait(60)

    assert spends[0] == spends[1] > 0


def _start(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "meshgate_cli",
                "up",
                "--port",
                str(port),
                "--state-dir",
                str(folder / "state"),
            ],
            cwd=folder,
            env=up_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _alive(pid: int) -> bool:
    """False also for a zombie that its parent has not yet noticed."""
    try:
        os.kill(pid, 0)
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


async def _new_key(session: aiohttp.ClientSession) -> str:
    async with session.post("/key/generate", json={"max_budget": 1.0}) as answer:
        return str((await answer.json())["key"])


async def _call(session: aiohttp.ClientSession, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    async with session.post("/v1/chat/completions", json=HELLO, headers=headers) as answer:
        assert 200 == answer.status


async def _spend(session: aiohttp.ClientSession, key: str) -> float:
    async with session.get("/key/info", params={"key": key}) as answer:
        return float((await answer.json())["info"]["spend"])
