"""`python -m bench profile`: where the CPU of one request goes, by process, thread, layer and function.

py-spy looks from outside, so the product is what is always measured; threads of grpcio's C core, which it
cannot see, are counted from /proc. One service is looked at at a time.
"""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

import uvloop

from bench import stacks
from bench.beside import ours, workplace
from bench.load import Load, closed_loop
from bench.mesh import mesh, redis_program
from bench.peers import install
from bench.prompts import Target, requests
from bench.subject import PACED, PLAIN, Subject

PY_SPY_REQUIREMENT = "py-spy==0.4.1"
SERVICES = ("edge", "ledger", "cache", "router")
CLIENTS = 16
RATE_HZ = 250
SHOWN = 22
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def profile(*, quick: bool) -> int:
    """Prints; returns 0."""
    seconds = 4 if quick else 10
    with workplace() as place:
        spy = install(place.tools, "py-spy", PY_SPY_REQUIREMENT) / "py-spy"
        with mesh(place, ours("meshgate", redis=redis_program() is not None)) as subject:
            for title, target, chunks in (
                ("whole answers", subject.plain, 0),
                ("streams of 50 chunks at once", subject.plain, PLAIN.chunks),
                ("streams of 50 chunks, 10 ms apart", subject.paced, PACED.chunks),
            ):
                print(f"\n=== {title}, {CLIENTS} clients")
                looked = _Looked(subject, spy, place.folder, seconds)
                uvloop.run(_profile(looked, target, chunks))
    return 0


@dataclass(frozen=True, slots=True)
class _Looked:
    subject: Subject
    spy: Path
    folder: Path
    seconds: int


async def _profile(looked: _Looked, target: Target, chunks: int) -> None:
    for service in SERVICES:
        pid = looked.subject.roots()[service]
        made = requests(target, stream=chunks > 0, first=monotonic_ns() % 10**11)
        load = Load(target.port, made, chunks)
        await closed_loop(load, CLIENTS, 1.0)
        before = _threads(pid)
        sample = await closed_loop(load, CLIENTS, looked.seconds)
        used = _threads(pid) - before
        output = looked.folder / f"{service}.stacks"
        command: list[str | Path] = [looked.spy, "record", "--native", "--pid", str(pid)]
        command += ["--duration", str(looked.seconds), "--rate", str(RATE_HZ)]
        command += ["--format", "raw", "--output", output]
        quiet = asyncio.subprocess.DEVNULL
        looking = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        await closed_loop(load, CLIENTS, looked.seconds + 1.0)
        await looking.wait()
        _show(service, used, max(1, sample.answered), output)


def _threads(pid: int) -> Counter[str]:
    """CPU ticks by thread name, user and system apart."""
    counted: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "stat").read_text()
        fields = text[text.rindex(")") + 2 :].split()
        name = "main" if int(task.name) == pid else text[text.index("(") + 1 : text.rindex(")")]
        counted[f"{name} (user)"] += int(fields[11])
        counted[f"{name} (kernel)"] += int(fields[12])
    return counted


def _show(service: str, used: Counter[str], answered: int, output: Path) -> None:
    us_per_tick = 1e6 / _TICKS_PER_S / answered
    total_us = used.total() * us_per_tick
    print(f"\n--- {service}: {total_us:,.0f} us of CPU for one answer ({answered} answers)")
    for thread, ticks in used.most_common():
        print(f"  {ticks * us_per_tick:7.0f} us  thread {thread}")
    found = stacks.parse(output.read_text().splitlines())
    samples = sum(count for _, count in found) or 1
    print("  by layer, of what py-spy saw:")
    for layer, count in stacks.by_layer(found).most_common():
        print(f"  {count / samples:7.1%}  {layer}")
    print("  functions, own time:")
    for frame, count in stacks.own_time(found).most_common(SHOWN):
        print(f"  {count / samples:7.1%}  {frame}")
    print("  our functions, with all they call:")
    for frame, count in stacks.whole_time(found, "meshgate_").most_common(SHOWN):
        print(f"  {count / samples:7.1%}  {frame}")
