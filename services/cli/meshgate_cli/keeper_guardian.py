"""The supervisor's side of keeper.py: starts it, reads what it says, notices its end."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from meshgate_cli import messages
from meshgate_cli.guardian import StartError
from meshgate_cli.log_files import LogFile
from meshgate_cli.settings import environment

NAME = "postgresql"
START_TIMEOUT_S = 180.0  # a first start makes the database files, on a slow disk
STOP_TIMEOUT_S = 60.0


class Lifeline:
    """A pipe that tells the keeper whether anybody lives: each process holds `held`, the keeper `watched`."""

    def __init__(self) -> None:
        self.watched, self.held = os.pipe()

    def let_go(self) -> None:
        """The supervisor's end; those of the services close when they end."""
        if self.held >= 0:
            os.close(self.held)
            self.held = -1


class KeeperGuardian:
    """`postgres_home` None: it keeps only the socket folder. `lock`: inherited, see state_lock.py."""

    def __init__(
        self, sockets: Path, postgres_home: Path | None, lifeline: Lifeline, lock: int, log: LogFile
    ) -> None:
        self.log = log
        self._sockets = sockets
        self._arguments = (str(sockets), *([str(postgres_home)] if postgres_home else []))
        self._lifeline = lifeline
        self._lock = lock
        self._process: asyncio.subprocess.Process | None = None
        self._postgres_id: int | None = None
        self._dsn: str | None = None

    @property
    def process_ids(self) -> dict[str, int | None]:
        """The keeper and its PostgreSQL, by name."""
        process = self._process
        if process is None or process.returncode is not None:
            return {}
        return {"keeper": process.pid, NAME: self._postgres_id}

    async def start(self) -> str | None:
        """The DSN of PostgreSQL, if it keeps one. Raises StartError."""
        with self.log.open() as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "meshgate_cli.keeper",
                *self._arguments,
                stdin=self._lifeline.watched,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment(),
                pass_fds=(self._lock,),
                start_new_session=True,  # it ends last, not when Ctrl-C is pressed
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise StartError(NAME, f"not ready within {START_TIMEOUT_S:.0f} s") from None
        if not line:
            raise StartError(NAME, messages.how_it_ended(await self._process.wait()))
        said = json.loads(line)
        if "error" in said:
            raise StartError(NAME, said["error"])
        self._postgres_id = said["process_id"]
        dsn: str | None = said["dsn"]
        self._remove_sockets_of(self._dsn)
        self._dsn = dsn
        return dsn

    @staticmethod
    def _remove_sockets_of(dsn: str | None) -> None:
        """A keeper that was killed could not remove its PostgreSQL's socket folder."""
        if dsn is not None:
            shutil.rmtree(parse_qs(urlsplit(dsn).query)["host"][0], ignore_errors=True)

    async def wait(self) -> int:
        """Its return code."""
        assert self._process is not None, "not started"
        return await self._process.wait()

    async def end(self) -> None:
        """Lets go of the lifeline and waits until PostgreSQL has ended and the sockets are gone."""
        self._lifeline.let_go()
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.terminate()
                await self._process.wait()
        shutil.rmtree(self._sockets, ignore_errors=True)  # if it ended before it could
