"""A run as text: the tables, the goals, and what failed. Pure."""

from collections.abc import Mapping, Sequence

from bench.asking import AT_A_RATE, CLOSED, Asking
from bench.goals import goals_table
from bench.session import DIRECT, Result
from bench.table import cpu_by_process, ratios, table, together


def report(results: Mapping[str, Result], traced: Mapping[str, Result]) -> str:
    """Everything that a reader needs, the same on the screen and in the file. `traced`: what was asked at the
    same time; either may be empty.
    """
    parts = [table(results)] if results else []
    parts += [
        f"{name} ({one.version})\n{cpu_by_process(results, name)}"
        for name, one in results.items()
        if name.startswith("meshgate") and "stream_chunk_cpu_us" in one.figures
    ]
    ours = next((name for name in results if name.startswith("meshgate")), None)
    others = [name for name in results if not name.startswith("meshgate") and name != DIRECT]
    if ours is not None and others:
        parts.append(ratios(results, ours, others))
    if traced:
        parts.append(beside(traced, (AT_A_RATE, CLOSED)))
    parts += [goals_table(results, traced), failed({**results, **traced})]
    return "\n\n".join(part for part in parts if part)


def beside(results: Mapping[str, Result], askings: Sequence[Asking]) -> str:
    """Meshes that were asked at the same time."""
    told = [(one.name, one.title, one.each) for one in askings]
    return "asked at the same time: median (minimum maximum) of the slices\n" + together(results, told)


def failed(results: Mapping[str, Result]) -> str:
    """Wrong or missing answers, the most frequent; empty: there were none."""
    return "\n".join(
        f"FAILED {name}: {count} x {failure}"
        for name, one in results.items()
        for failure, count in one.failures.most_common(5)
    )
