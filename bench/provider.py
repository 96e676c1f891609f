"""Starts the provider: compiled here when there is a C compiler, else the same in Python."""

import http.client
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.running import free_port, listens, running

SOURCE = Path(__file__).with_name("provider.c")


@dataclass(frozen=True, slots=True)
class Answer:
    """How the provider answers: `delay_us` first, then `chunks` of `size_bytes`, `gap_us` apart.

    `error`: a status instead. `cut_after`: chunks after which it ends a stream as if it had died; 0: never.
    `paced`: the gap is what `Provider.pace` said last, for streams under way as well.
    """

    delay_us: int = 0
    chunks: int = 50
    gap_us: int = 0
    size_bytes: int = 24
    error: int = 0
    cut_after: int = 0
    paced: bool = False

    @property
    def folder(self) -> str:
        """The first part of the path."""
        parts = (self.delay_us, self.chunks, self.gap_us, self.size_bytes, self.error, self.cut_after)
        return "".join(
            f"{name}{value}" for name, value in zip("dcgsexp", (*parts, int(self.paced)), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Provider:
    """A running one. `kind`: "C" or "Python"."""

    port: int
    kind: str

    def base(self, answer: Answer) -> str:
        """What a gateway is told as api_base."""
        return f"http://127.0.0.1:{self.port}/{answer.folder}/v1"

    def pace(self, gap_us: int) -> None:
        """From now on, the gap of answers that are `paced`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("POST", f"/g{gap_us}/pace", b"")
        assert connection.getresponse().status == 200
        connection.close()

    def path(self, answer: Answer) -> str:
        return f"/{answer.folder}/v1/chat/completions"


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    """Runs until the block ends; `folder` takes its program and its log."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    program = _compiled(folder / "provider")
    command: list[str | Path] = [sys.executable, "-m", "bench.provider_fallback", str(port)]
    if program is not None:
        command = [program, str(port)]
    with running(command, folder / "provider.log", lambda: listens(port)):
        yield Provider(port, "C" if program else "Python")


def _compiled(program: Path) -> Path | None:
    """None without a compiler, and where the C library is too old for it (epoll_pwait2: glibc 2.35)."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    built = subprocess.run(
        [compiler, "-O2", "-o", program, SOURCE], capture_output=True, text=True, check=False
    )
    if built.returncode:
        print(f"the provider in C does not compile here, Python takes its place:\n{built.stderr[-500:]}")
        return None
    return program
