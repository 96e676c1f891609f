"""One log file per process: bounded, new at every start, the earlier one kept as NAME.log.1."""

import os
import re
import shutil
from pathlib import Path
from typing import IO

LOG_BYTES_MAX = 32 * 1024 * 1024
TAIL_LINES = 12
TAIL_BYTES_MAX = 8_192
NEWS_BYTES_MAX = 65_536
ERRORS_SHOWN_MAX = 3  # per look; the rest is in the file

_ERROR = re.compile(r'\[(?:error|critical) *\]|"level": ?"(?:error|critical)"')


class LogFile:
    """Where a process writes, and what a person should see of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen_bytes = 0

    def open(self) -> IO[bytes]:
        """For a process to append to. A restart goes on in the same file."""
        return self.path.open("ab")

    def begin(self) -> None:
        """Puts the log of the last run aside."""
        if self.path.exists():
            self.path.replace(self._earlier)
        self.path.touch(mode=0o600)

    def tail(self) -> str:
        """Its last lines."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - TAIL_BYTES_MAX))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def new_errors(self) -> list[str]:
        """Lines at error level since the last look, at most ERRORS_SHOWN_MAX; keeps the file bounded."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            file.seek(max(self._seen_bytes, size - NEWS_BYTES_MAX))
            news = file.read()
        self._seen_bytes = size
        if size > LOG_BYTES_MAX:
            shutil.copyfile(self.path, self._earlier)
            os.truncate(self.path, 0)  # its writer appends, and so goes on at the beginning
            self._seen_bytes = 0
        lines = news.decode(errors="replace").splitlines()
        return [line for line in lines if _ERROR.search(line)][:ERRORS_SHOWN_MAX]

    @property
    def _earlier(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")
