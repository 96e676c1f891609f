"""Two meshes beside each other, figure by figure: what changed, round by round. Pure."""

from collections.abc import Mapping

from bench.session import Result
from bench.statistics import Spread
from bench.table import aligned, cell

ROWS = (
    ("requests/s, 32 clients", "saturation_per_s"),
    ("  CPU us/request", "saturation_cpu_us"),
    ("  wake-ups/request", "saturation_switches"),
    ("  cache lookups/request", "saturation_lookups"),
    ("  p50 ms", "saturation_p50_ms"),
    ("  p99 ms", "saturation_p99_ms"),
    ("50/s: added ms, p50", "rate50_p50_added_ms"),
    ("  added ms, p99", "rate50_p99_added_ms"),
    ("  p50 ms", "rate50_p50_ms"),
    ("  p99 ms", "rate50_p99_ms"),
    ("  CPU us/request", "rate50_cpu_us"),
    ("  wake-ups/request", "rate50_switches"),
    ("  cache lookups/request", "rate50_lookups"),
    ("exact hit, 50/s: p50 ms", "hit_p50_ms"),
    ("  p99 ms", "hit_p99_ms"),
    ("  CPU us/request", "hit_cpu_us"),
    ("  share of hits", "hit_share"),
    ("50 chunks as fast as they come, 8 clients: CPU us/chunk", "stream_chunk_cpu_us"),
    ("  wake-ups/chunk", "stream_chunk_switches"),
    ("  first token added ms, p50", "stream_first_token_p50_added_ms"),
    ("50 chunks 10 ms apart, 4 streams at once: CPU us/chunk", "paced_chunk_cpu_us"),
    ("  wake-ups/chunk", "paced_chunk_switches"),
    ("  first token added ms, p50", "paced_first_token_p50_added_ms"),
    ("  first token added ms, p99", "paced_first_token_p99_added_ms"),
    ("  each chunk added ms, p50", "paced_chunk_delay_p50_added_ms"),
    ("prompt 1 kB, 4 clients: CPU us/request", "prompt1000_cpu_us"),
    ("  10 kB", "prompt10000_cpu_us"),
    ("  100 kB", "prompt100000_cpu_us"),
    ("  1 MB", "prompt1000000_cpu_us"),
    ("idle, % of a core", "idle_percent"),
    ("machine: ms for the same work", "fixed_work_ms"),
)
MEGABYTE = 2**20


def pairs(results: Mapping[str, Result], base: str, now: str) -> str:
    """Median (minimum maximum) of both, and of the ratios within a round. Then memory after the run, by
    process: resident, in parentheses proportional.
    """
    before, after = results[base], results[now]
    rows = [["", base, now, f"{now} / {base}"]]
    for title, figure in ROWS:
        one, other = before.figures.get(figure), after.figures.get(figure)
        if one is not None and other is not None:
            rows.append([title, cell(one), cell(other), cell(ratio(one, other))])
    rows.append(["memory after, MB resident (proportional)", "", "", ""])
    processes = dict.fromkeys([*before.memory_after, *after.memory_after])
    for process in processes:
        sizes = (before.memory_after.get(process), after.memory_after.get(process))
        share = f"{sizes[1][1] / sizes[0][1]:.2f}" if sizes[0] and sizes[1] and sizes[0][1] else "-"
        rows.append([f"  {process}", *(_memory(size) for size in sizes), share])
    for start in ("cold", "warm"):
        seconds = (before.start_s.get(start), after.start_s.get(start))
        told = ("-" if one is None else f"{one:.1f}" for one in seconds)
        rows.append([f"{start} start, s", *told, ""])
    answered = (before.answered, after.answered)
    wrong = (before.failures.total(), after.failures.total())
    rows.append(["answered", *(f"{one:,}" for one in answered), ""])
    rows.append(["failed", *(str(one) for one in wrong), ""])
    return aligned(rows)


def ratio(base: Spread, now: Spread) -> Spread | None:
    """Round by round; None where a round is missing or nothing can be divided."""
    if len(base.turns) != len(now.turns) or min(base.turns) <= 0:
        return None
    return Spread(tuple(mine / theirs for mine, theirs in zip(now.turns, base.turns, strict=True)))


def _memory(size: tuple[int, int] | None) -> str:
    return "-" if size is None else f"{size[1] / MEGABYTE:.0f} ({size[0] / MEGABYTE:.0f})"
