"""The processes of a mesh under torture: started, killed, frozen, cut off from PostgreSQL, and heard.

They are forked from a process that has imported their code: a start of an interpreter takes longer than all
else between two blows. Each writes the stacks of its threads into its log when it gets SIGUSR1.
"""

import asyncio
import faulthandler
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

import asyncpg

SERVICES: Final = ("edge", "ledger", "router")
LOG_TAIL_CHARACTERS: Final = 8_000
STACKS_WAIT_S: Final = 1.0  # for the stacks to be written
STOP_TIMEOUT_S: Final = 20.0
SOURCE: Final = Path(__file__).resolve().parents[2] / "services"
SOURCE_SUFFIXES: Final = (".py", ".sql", ".json")


def serve(name: str, environment: Mapping[str, str], log: Path) -> None:
    """A service's main, in a process of its own that has all code loaded."""
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    faulthandler.register(signal.SIGUSR1, file=sys.stderr.fileno(), all_threads=True)
    sys.exit(import_module(f"meshgate_{name}.__main__").main())


@dataclass
class Processes:
    """The three services. `environments`: by name; `dsn`: of their PostgreSQL; `blows`: by kind and name."""

    folder: Path
    environments: Mapping[str, Mapping[str, str]]
    dsn: str
    running: dict[str, ForkServerProcess] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    began_s: float = field(default_factory=time.time)
    context: ForkServerContext = field(default_factory=lambda: multiprocessing.get_context("forkserver"))

    def start(self, name: str) -> None:
        self.context.set_forkserver_preload([__name__, *(f"meshgate_{each}.__main__" for each in SERVICES)])
        arguments = (name, dict(self.environments[name]), self.folder / f"{name}.log")
        process = self.context.Process(target=serve, args=arguments, daemon=False)
        process.start()
        self.running[name] = process

    async def kill(self, name: str) -> None:
        """kill -9, and a new one at once."""
        process = self.running[name]
        process.kill()
        await asyncio.to_thread(process.join)
        self.kills[name] += 1
        await asyncio.to_thread(self.start, name)

    async def freeze(self, name: str, pause_s: float) -> None:
        """SIGSTOP, and SIGCONT after a pause: a process that hangs, then goes on as if nothing had been."""
        process = self.running[name]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(pause_s)
        finally:
            if process.is_alive():
                os.kill(process.pid, signal.SIGCONT)
        self.blows[f"froze {name}"] += 1

    async def cut_off(self) -> None:
        """Ends every session of the ledger at PostgreSQL."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'meshgate-ledger%'"
            )
        finally:
            await connection.close()
        self.blows["cut sessions of postgresql"] += 1

    def assert_alive(self) -> None:
        """A service that ends by itself is a finding, and its log is shown."""
        for name, process in self.running.items():
            if not process.is_alive():
                raise AssertionError(f"{name} ended by itself:\n{self._log_tail(name)}")

    async def last_words(self) -> str:
        """What there is to know about a mesh that does not recover: stacks, logs, sessions of PostgreSQL."""
        for process in self.running.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGUSR1)
        await asyncio.sleep(STACKS_WAIT_S)
        logs = [
            f"== {name} (process {process.pid})\n{self._log_tail(name)}"
            for name, process in self.running.items()
        ]
        return "\n".join(
            [*logs, "== sessions of postgresql", *await self._sessions(), *self._changed_files()]
        )

    def _changed_files(self) -> list[str]:
        """Processes have the code of the beginning, and read migrations and prices anew at each start."""
        changed = [
            str(path.relative_to(SOURCE))
            for path in SOURCE.rglob("*")
            if path.suffix in SOURCE_SUFFIXES and path.stat().st_mtime > self.began_s
        ]
        return [f"== changed since the round began, so this may be no finding: {changed}"] if changed else []

    async def _sessions(self) -> list[str]:
        try:
            connection = await asyncpg.connect(self.dsn, timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            return [f"none can be had: {error!r}"]
        try:
            rows = await connection.fetch(
                "SELECT pid, application_name, state, wait_event_type, wait_event,"
                " now() - state_change AS age, pg_blocking_pids(pid) AS blocked_by, left(query, 120) AS query"
                " FROM pg_stat_activity WHERE backend_type = 'client backend'"
            )
        finally:
            await connection.close()
        return [str(dict(row)) for row in rows]

    def _log_tail(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.join(STOP_TIMEOUT_S)
            if process.is_alive():
                process.kill()
                process.join()
