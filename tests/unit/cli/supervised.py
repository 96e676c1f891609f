"""Runs a supervisor over two demo providers: `python supervised.py FOLDER [broken]`. Helps a test."""

import asyncio
import sys
from pathlib import Path

from meshgate_cli.console import say
from meshgate_cli.guardian import Guardian
from meshgate_cli.keeper_guardian import KeeperGuardian, Lifeline
from meshgate_cli.log_files import LogFile
from meshgate_cli.plan import Probe, ProcessSpec
from meshgate_cli.ports import free_port
from meshgate_cli.state_lock import StateLock
from meshgate_cli.supervisor import Supervisor


async def main(folder: Path, *, broken: bool) -> int:
    sockets = folder / "run"
    sockets.mkdir()
    lock = StateLock(folder / "lock")
    lock.take()
    lifeline = Lifeline()
    guardians: dict[str, Guardian] = {}
    keeper = KeeperGuardian(sockets, None, lifeline, lock.descriptor, log(folder, "postgres"))
    supervisor = Supervisor(keeper, guardians, folder / "processes.json", say, lambda: say("ALL READY"))
    for name in ("ledger", "edge"):
        address = f"127.0.0.1:{free_port('127.0.0.1')}"
        listen = "nonsense" if broken and name == "edge" else address
        spec = ProcessSpec(name, "meshgate_demo", Probe(address, "/health"), {"MESHGATE_DEMO_LISTEN": listen})
        guardians[name] = Guardian(spec, log(folder, name), lifeline.held, say, supervisor.write_processes)
    return await supervisor.run()


def log(folder: Path, name: str) -> LogFile:
    file = LogFile(folder / f"{name}.log")
    file.begin()
    return file


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), broken="broken" in sys.argv[2:])))
