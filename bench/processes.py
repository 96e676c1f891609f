"""What processes cost, from /proc: CPU and memory of a whole tree, by name.

CPU is user + system time of the live processes and of their ended children, so that a PostgreSQL backend that
ends between two readings is not lost. The kernel counts it exactly and reports it in ticks of 10 ms.
"""

import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/<pid>/stat."""

    parent: int
    cpu_s: float
    rss_bytes: int
    command: str


def tree(roots: Mapping[Name, int]) -> dict[int, Name]:
    """Process id -> name, for each root and all below it; the nearest named ancestor gives the name."""
    parents = {pid: stat.parent for pid, stat in _all().items()}
    names = {pid: name for name, pid in roots.items()}
    found = {}
    for pid in parents:
        at = pid
        while at and at not in names:
            at = parents.get(at, 0)
        if at:
            found[pid] = names[at]
    return found


def cpu_s(roots: Mapping[Name, int]) -> dict[Name, float]:
    """CPU seconds since their start, by name."""
    stats = _all()
    sums = dict.fromkeys(roots, 0.0)
    for pid, name in tree(roots).items():
        if pid in stats:
            sums[name] += stats[pid].cpu_s
    return sums


def switches(roots: Mapping[Name, int]) -> int:
    """How often their threads have gone to sleep so far. Each is a wake-up for one request or another; unlike
    time, the number hardly depends on what else the machine does.
    """
    total = 0
    for pid in tree(roots):
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                text = (task / "status").read_text()
            except OSError:
                continue  # it ended while we looked
            total += int(text.rpartition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def memory_bytes(roots: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """(proportional, resident) by name. Shared pages count once in the first only."""
    stats = _all()
    sums = dict.fromkeys(roots, (0, 0))
    for pid, name in tree(roots).items():
        if pid in stats:
            shared_out, resident = sums[name]
            sums[name] = (shared_out + _pss_bytes(pid), resident + stats[pid].rss_bytes)
    return sums


def machine_cpu_s() -> tuple[float, float]:
    """(busy, all) CPU seconds of the whole machine since its start."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / _TICKS_PER_S, sum(fields) / _TICKS_PER_S


def _all() -> dict[int, Stat]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _read(folder)) is not None:
            found[int(folder.name)] = stat
    return found


def _read(folder: Path) -> Stat | None:
    try:
        text = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended while we looked
    command, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    ticks = sum(int(fields[place]) for place in (11, 12, 13, 14))
    return Stat(int(fields[1]), ticks / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES, command)


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
