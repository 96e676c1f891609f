"""Starts the provider: compiled here when there is a C compiler, else the same in Python."""

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
    """How the provider answers: `delay_us` first, then `chunks` of `size_bytes`, `gap_us` apart."""

    delay_us: int = 0
    chunks: int = 50
    gap_us: int = 0
    size_bytes: int = 24

    @property
    def folder(self) -> str:
        """The first part of the path."""
        return f"d{self.delay_us}c{self.chunks}g{self.gap_us}s{self.size_bytes}"


@dataclass(frozen=True, slots=True)
class Provider:
    """A running one. `kind`: "C" or "Python"."""

    port: int
    kind: str

    def base(self, answer: Answer) -> str:
        """What a gateway is told as api_base."""
        return f"http://127.0.0.1:{self.port}/{answer.folder}/v1"

    def path(self, answer: Answer) -> str:
        return f"/{answer.folder}/v1/chat/completions"


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    """Runs until the block ends; `folder` takes its program and its log."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    compiler = shutil.which("cc")
    command: list[str | Path] = [sys.executable, "-m", "bench.provider_fallback", str(port)]
    if compiler is not None:
        program = folder / "provider"
        subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)
        command = [program, str(port)]
    with running(command, folder / "provider.log", lambda: listens(port)):
        yield Provider(port, "C" if compiler else "Python")
