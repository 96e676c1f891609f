"""The supervisor with real processes: demo providers in the places of the services, a real keeper."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually

HELPER = Path(__file__).with_name("supervised.py")


class Supervised:
    """A supervisor in a process of its own (supervised.py), and what it said."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.said = ""

    async def heard(self, text: str) -> None:
        """Reads its output until the text has come."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while text not in self.said:
                line = await self.process.stdout.readline()
                assert line, f"ended without saying {text!r}:\n{self.said}"
                self.said += line.decode()

    def processes(self) -> dict[str, int | None]:
        return json.loads((self.folder / "processes.json").read_text())


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HELPER),
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Supervised(process, tmp_path)
    try:
        await running.heard("ALL READY")
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def gone(process_id: int) -> bool:
    """No such process, or a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def all_gone(processes: dict[str, int | None]) -> bool:
    numbers = [number for name, number in processes.items() if name != "supervisor"]
    return all(gone(number) for number in numbers if number is not None)


async def test_it_stops_everything(supervised: Supervised) -> None:
    """SIGTERM: exit code 0, no process, no socket folder, no list of processes."""
    processes = supervised.processes()
    supervised.process.send_signal(signal.SIGTERM)
    code = await supervised.process.wait()

    assert code == 0
    assert set(processes) == {"edge", "ledger", "keeper", "postgresql", "supervisor"}
    assert all_gone(processes)
    assert not (supervised.folder / "run").exists()
    assert not (supervised.folder / "processes.json").exists()


async def test_a_crashed_process_is_started_again(supervised: Supervised) -> None:
    """It says so, and the new process is another one."""
    before = supervised.processes()
    os.kill(before["edge"], signal.SIGKILL)
    await supervised.heard("edge ended (killed by SIGKILL)")
    await supervised.heard("(again)")

    after = supervised.processes()
    assert after["edge"] not in (None, before["edge"])
    assert after["ledger"] == before["ledger"]


@pytest.mark.skipif(sys.platform != "linux", reason="what children are told is Linux's")
async def test_it_has_no_threads(supervised: Supervised) -> None:
    """Each thread that ends with a killed supervisor would be one more signal to its children."""
    assert len(list(Path(f"/proc/{supervised.process.pid}/task").iterdir())) == 1


async def test_a_killed_supervisor_leaves_nothing(supervised: Supervised) -> None:
    """Its processes end by themselves, and the keeper cleans up after the last of them."""
    processes = supervised.processes()
    supervised.process.kill()
    await supervised.process.wait()

    await eventually(lambda: all_gone(processes), "every process has ended")
    assert not (supervised.folder / "run").exists()


async def test_a_process_that_cannot_start_is_explained(tmp_path: Path) -> None:
    """The name, how it ended, the last lines of its log; exit code 1; the others are ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HELPER), str(tmp_path), "broken", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()

    assert process.returncode == 1
    assert "edge did not start: exit code 1" in said.decode()
    assert "MESHGATE_DEMO_LISTEN must be host:port" in said.decode()
    assert not (tmp_path / "run").exists()
