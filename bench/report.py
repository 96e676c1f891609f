"""A run as text: the tables, the goals, and what failed. Pure."""

from collections.abc import Mapping

from bench.goals import reached
from bench.session import DIRECT, Result
from bench.table import cpu_by_process, ratios, table


def report(results: Mapping[str, Result]) -> str:
    """Everything that a reader needs, the same on the screen and in the file."""
    parts = [table(results)]
    parts += [
        f"{name} ({one.version})\n{cpu_by_process(results, name)}"
        for name, one in results.items()
        if name.startswith("meshgate") and "stream_chunk_cpu_us" in one.figures
    ]
    ours = next((name for name in results if name.startswith("meshgate")), None)
    others = [name for name in results if not name.startswith("meshgate") and name != DIRECT]
    if ours is not None and others:
        parts.append(ratios(results, ours, others))
    goals = [f"{'yes' if one.passed else 'NO '}  {one.title}: {one.told}" for one in reached(results)]
    if goals:
        parts.append("\n".join(["what it is meant to reach", *goals]))
    failed = [
        f"FAILED {name}: {count} x {failure}"
        for name, one in results.items()
        for failure, count in one.failures.most_common(5)
    ]
    return "\n\n".join([*parts, *failed])
