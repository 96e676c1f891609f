"""Runs the mesh on one machine: starts everything at once, keeps it running, ends it in order.

PostgreSQL is needed by the ledger alone, so everything else starts beside it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from meshgate_cli import messages
from meshgate_cli.guardian import Guardian, StartError
from meshgate_cli.keeper_guardian import NAME as POSTGRES
from meshgate_cli.keeper_guardian import KeeperGuardian
from meshgate_cli.plan import STOP_ORDER
from meshgate_cli.restart import RestartPolicy

LOG_LOOK_INTERVAL_S = 1.0

Say = Callable[[str], None]


class Supervisor:
    """`guardians` by name, among them `ledger`, which waits for the keeper's PostgreSQL."""

    def __init__(
        self,
        keeper: KeeperGuardian,
        guardians: dict[str, Guardian],
        processes_file: Path,
        say: Say,
        when_ready: Callable[[], None],
    ) -> None:
        self._keeper = keeper
        self._guardians = guardians
        self._processes_file = processes_file
        self._say = say
        self._when_ready = when_ready
        self._began_s = asyncio.get_running_loop().time()
        self._stop_wanted = asyncio.Event()
        self._failure: StartError | None = None
        self._ready: set[str] = set()

    async def run(self) -> int:
        """Until a signal; returns the exit code. A second signal ends everything at once."""
        loop = asyncio.get_running_loop()
        _watch_children_without_threads()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        async with asyncio.TaskGroup() as group:
            life = group.create_task(self._live())
            await self._stop_wanted.wait()
            life.cancel()
            await asyncio.wait([life])
            if self._failure is not None:
                self._say(self._explained(self._failure))
            await self._stop()
        return 0 if self._failure is None else 1

    def write_processes(self) -> None:
        """Who runs, for people and tests; replaced as a whole."""
        running = {name: guardian.process_id for name, guardian in self._guardians.items()}
        running |= {**self._keeper.process_ids, "supervisor": os.getpid()}
        unfinished = self._processes_file.with_suffix(".new")
        unfinished.write_text(json.dumps(running, indent=1) + "\n")
        unfinished.replace(self._processes_file)

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as starts:
                starts.create_task(self._start_with_database())
                for name, guardian in self._guardians.items():
                    if name != "ledger":
                        starts.create_task(self._start(guardian))
        except* StartError as errors:
            self._failure = _first(errors)
            self._stop_wanted.set()
        if self._failure is None:
            self.write_processes()
            self._when_ready()
            await self._watch()

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as watches:
            watches.create_task(self._watch_keeper())
            watches.create_task(self._show_errors())
            for guardian in self._guardians.values():
                watches.create_task(guardian.watch())

    async def _start(self, guardian: Guardian) -> None:
        await guardian.start()
        self._ready.add(guardian.name)
        self._say(messages.ready_line(guardian.name, self._elapsed_s()))

    def _elapsed_s(self) -> float:
        """Since the supervisor was made: what the person who waits has waited."""
        return asyncio.get_running_loop().time() - self._began_s

    async def _start_with_database(self) -> None:
        dsn = await self._keeper.start()
        ledger = self._guardians["ledger"]
        if dsn is not None:
            self._say(messages.ready_line(POSTGRES, self._elapsed_s()))
            ledger.spec = ledger.spec.with_environment(DATABASE_URL=dsn)
        await self._start(ledger)

    async def _watch_keeper(self) -> None:
        """A new PostgreSQL process has a new address, so the ledger starts again with it."""
        loop = asyncio.get_running_loop()
        policy = RestartPolicy()
        while True:
            began_s = loop.time()
            return_code = await self._keeper.wait()
            backoff_s = policy.after_crash(loop.time() - began_s)
            self._say(messages.restarting(POSTGRES, return_code, backoff_s))
            await asyncio.sleep(backoff_s)
            try:
                dsn = await self._keeper.start()
            except StartError as error:
                self._say(f"  {POSTGRES}: {error.reason}")
                continue
            self.write_processes()
            self._say(f"  {POSTGRES} runs again")
            ledger = self._guardians["ledger"]
            if dsn is not None:
                await ledger.restart(ledger.spec.with_environment(DATABASE_URL=dsn))

    async def _show_errors(self) -> None:
        while True:
            await asyncio.sleep(LOG_LOOK_INTERVAL_S)
            for name, guardian in self._guardians.items():
                for line in guardian.log.new_errors():
                    self._say(f"  {name}: {line}")

    async def _stop(self) -> None:
        for names in STOP_ORDER:
            await asyncio.gather(*(self._guardians[name].stop() for name in names if name in self._guardians))
        await self._keeper.end()
        self._processes_file.unlink(missing_ok=True)

    def _on_signal(self) -> None:
        if self._stop_wanted.is_set():
            self._say("meshgate: ending at once")
            for guardian in self._guardians.values():
                guardian.kill()
            return
        self._say("\nmeshgate: stopping; once more ends it at once")
        self._stop_wanted.set()

    def _explained(self, failure: StartError) -> str:
        """Of an edge that was not ready in time: the service that it waited for, if there is one."""
        name = failure.name
        if name == "edge" and failure.is_late:
            name = next((each for each in self._guardians if each not in self._ready), name)
        log = self._keeper.log if name == POSTGRES else self._guardians[name].log
        return messages.start_failed(name, failure.reason, log.path, log.tail())


def _watch_children_without_threads() -> None:
    """Before 3.12, asyncio waits for each child in a thread of its own. When this process is killed its
    threads end one after the other, and the system tells the children of each (child.py): to them that is a
    second signal, which ends them in the middle of a stream."""
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # an old kernel
            os.close(os.pidfd_open(os.getpid()))
            watcher = asyncio.PidfdChildWatcher()
            watcher.attach_loop(asyncio.get_running_loop())
            asyncio.set_child_watcher(watcher)


def _first(errors: BaseExceptionGroup[StartError]) -> StartError:
    """Of several that failed together, the one to tell about."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
