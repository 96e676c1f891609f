"""One process of the mesh: started, waited for, watched, started again, ended.

Invariant: at most one process of this name lives at a time.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from meshgate_cli import messages
from meshgate_cli.log_files import LogFile
from meshgate_cli.plan import ProcessSpec
from meshgate_cli.probes import is_ready
from meshgate_cli.restart import RestartPolicy

READY_TIMEOUT_S = 60.0
PROBE_INTERVAL_S = 0.05
STOP_TIMEOUT_S = 25.0  # more than a service's own drain grace and its own end by force
KILL_TIMEOUT_S = 5.0


class StartError(Exception):
    """A process did not become ready. `reason`: half a sentence. `is_late`: it runs, and is not ready yet."""

    def __init__(self, name: str, reason: str, *, is_late: bool = False) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
        self.is_late = is_late


class Guardian:
    """`lifeline`: the descriptor that every process of the mesh holds (keeper.py)."""

    def __init__(
        self,
        spec: ProcessSpec,
        log: LogFile,
        lifeline: int,
        say: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.log = log
        self._lifeline = lifeline
        self._say = say
        self._changed = changed
        self._policy = RestartPolicy()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._restart_wanted = False

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def process_id(self) -> int | None:
        """None: it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> float:
        """Returns the seconds until it was ready. Raises StartError."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        process = await self._spawn()
        while not await is_ready(self.spec.probe):
            if process.returncode is not None:
                raise StartError(self.name, messages.how_it_ended(process.returncode))
            if loop.time() - began_s > READY_TIMEOUT_S:
                raise StartError(self.name, f"not ready within {READY_TIMEOUT_S:.0f} s", is_late=True)
            await asyncio.sleep(PROBE_INTERVAL_S)
        return loop.time() - began_s

    async def watch(self) -> None:
        """Starts it again whenever it ends by itself; returns after `stop`."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            assert self._process is not None, "watched before it was started"
            began_s = loop.time()
            return_code = await self._process.wait()
            self._changed()
            if self._stopping.is_set():
                return
            if not self._restart_wanted:
                backoff_s = self._policy.after_crash(loop.time() - began_s)
                self._say(messages.restarting(self.name, return_code, backoff_s))
                await asyncio.sleep(backoff_s)
            self._restart_wanted = False
            if not self._stopping.is_set():
                await self._start_again()

    async def _start_again(self) -> None:
        try:
            elapsed_s = await self.start()
        except StartError as error:
            self._say(f"  {self.name}: {error.reason}; log: {self.log.path}")
            await self._end(signal.SIGKILL, KILL_TIMEOUT_S)
        else:
            self._say(messages.ready_line(self.name, elapsed_s, "(again)"))

    async def restart(self, spec: ProcessSpec) -> None:
        """Ends the process; `watch` starts it with the new specification, without backoff."""
        self.spec = spec
        self._restart_wanted = True
        await self._end(signal.SIGTERM, STOP_TIMEOUT_S)

    async def stop(self) -> None:
        """Asks it to end, and waits; by force after a limit."""
        self._stopping.set()
        await self._end(signal.SIGTERM, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """At once, without waiting."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log.open() as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working folder is no place to import from
                "-m",
                "meshgate_cli.child",
                str(os.getpid()),
                self.spec.module,
                *self.spec.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.environment),
                pass_fds=(self._lifeline,),
                start_new_session=True,  # Ctrl-C is for the supervisor, which knows the order
            )
        self._changed()
        return self._process

    async def _end(self, number: signal.Signals, timeout_s: float) -> None:
        if self._process is None:
            return
        self._signal(number)
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self._say(f"  {self.name} does not end; killing it")
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
