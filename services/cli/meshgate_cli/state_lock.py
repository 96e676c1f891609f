"""One mesh per state folder: a lock that the system itself releases when its holders have ended.

The keeper of the sockets and of PostgreSQL (keeper.py) inherits it, so that the folder counts as busy
until they are gone, even when the supervisor was killed.
"""

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

POLL_INTERVAL_S = 0.1


class FolderBusyError(Exception):
    """Another mesh runs in the folder. `address` may be empty."""

    def __init__(self, process_id: int, address: str) -> None:
        super().__init__(f"process {process_id} runs at {address}")
        self.process_id = process_id
        self.address = address


class PreviousRunEndingError(Exception):
    """The supervisor is gone and what it started is still ending."""


class StateLock:
    """The lock of one folder. Write who holds it with `describe`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    @property
    def descriptor(self) -> int:
        """To be inherited by the keeper."""
        assert self._file is not None, "not held"
        return self._file.fileno()

    def take(self) -> None:
        """Raises FolderBusyError or PreviousRunEndingError."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = _holder_in(file.read())
            file.close()
            if holder is not None and is_alive(holder[0]):
                raise FolderBusyError(*holder) from None
            raise PreviousRunEndingError from None
        self._file = file

    def take_within(self, timeout_s: float) -> None:
        """Waits for a previous run to end. Raises as `take`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.take()
            except PreviousRunEndingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_INTERVAL_S)
            else:
                return

    def describe(self, address: str) -> None:
        """Says who holds the lock, for the message that another start gets."""
        assert self._file is not None, "not held"
        self._file.seek(0)
        self._file.truncate()
        json.dump({"process_id": os.getpid(), "address": address}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Lets go; other holders of the descriptor keep the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_alive(process_id: int) -> bool:
    """Whether there is such a process, ours or not."""
    with contextlib.suppress(PermissionError):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
    return True


def _holder_in(text: str) -> tuple[int, str] | None:
    try:
        said = json.loads(text)
        return int(said["process_id"]), str(said["address"])
    except (ValueError, KeyError, TypeError):
        return None
