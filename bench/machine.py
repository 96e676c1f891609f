"""Where and what was measured: machine, versions, commit, and how much else the machine was doing."""

import hashlib
import os
import platform
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def machine() -> dict[str, object]:
    """Nothing that names a person or a host."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit(folder: Path = REPOSITORY) -> str:
    """Short hash; "+" when what runs is not exactly that commit."""
    try:
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "services", "protos")
        return _git(folder, "rev-parse", "--short=9", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # no git, or no repository


def fixed_work_ms() -> float:
    """CPU time of the same work each time: it grows when the machine under us is slow or shared.

    The kernel's accounts can not tell: CPU per request grows with it, in every process alike.
    """
    began_s = time.thread_time()
    for _ in range(20):
        hashlib.sha256(bytes(200_000)).digest()
        sum(range(40_000))
    return (time.thread_time() - began_s) * 1e3


def other_load(seconds: float = 2.0) -> float:
    """Cores that were busy with something else while we did nothing."""
    from bench.processes import machine_cpu_s

    busy, total = machine_cpu_s()
    time.sleep(seconds)
    busy_then, total_then = machine_cpu_s()
    return (busy_then - busy) / max(1e-9, total_then - total) * (os.cpu_count() or 1)


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
