"""Results as text. A cell is the median over the turns; of several, with (minimum maximum). Pure."""

from collections.abc import Mapping, Sequence

from bench.session import Result
from bench.statistics import Spread

ROWS: tuple[tuple[str, str], ...] = (
    ("requests/s, 32 clients", "saturation_per_s"),
    ("  p50 ms", "saturation_p50_ms"),
    ("  p99 ms", "saturation_p99_ms"),
    ("  CPU us/request", "saturation_cpu_us"),
    ("  wake-ups/request", "saturation_switches"),
    ("  cache lookups/request", "saturation_lookups"),
    ("  machine: ms for the same work", "fixed_work_ms"),
    ("added ms at 50/s, p50", "rate50_p50_added_ms"),
    ("  p90", "rate50_p90_added_ms"),
    ("  p99", "rate50_p99_added_ms"),
    ("  CPU us/request", "rate50_cpu_us"),
    ("  wake-ups/request", "rate50_switches"),
    ("  cache lookups/request", "rate50_lookups"),
    ("added ms at 200/s, p50", "rate200_p50_added_ms"),
    ("  p90", "rate200_p90_added_ms"),
    ("  p99", "rate200_p99_added_ms"),
    ("  cache lookups/request", "rate200_lookups"),
    ("cache hit ms, p50", "hit_p50_ms"),
    ("  p99", "hit_p99_ms"),
    ("  share of hits", "hit_share"),
    ("  CPU us/request", "hit_cpu_us"),
    ("50 chunks as fast as they come, 8 clients: CPU us/chunk", "stream_chunk_cpu_us"),
    ("  CPU ms/stream", "stream_cpu_ms"),
    ("  wake-ups/chunk", "stream_chunk_switches"),
    ("  streams/s", "stream_per_s"),
    ("  first token added ms, p50", "stream_first_token_p50_added_ms"),
    ("50 chunks 10 ms apart, 4 streams at once: CPU us/chunk", "paced_chunk_cpu_us"),
    ("  CPU ms/stream", "paced_cpu_ms"),
    ("  wake-ups/chunk", "paced_chunk_switches"),
    ("  first token added ms, p50", "paced_first_token_p50_added_ms"),
    ("  first token added ms, p99", "paced_first_token_p99_added_ms"),
    ("  each chunk added ms, p50", "paced_chunk_delay_p50_added_ms"),
    ("  each chunk added ms, p99", "paced_chunk_delay_p99_added_ms"),
    ("prompt 1 kB: CPU us/request", "prompt1000_cpu_us"),
    ("  10 kB", "prompt10000_cpu_us"),
    ("  100 kB", "prompt100000_cpu_us"),
    ("  1 MB", "prompt1000000_cpu_us"),
    ("idle, % of a core", "idle_percent"),
)


def table(results: Mapping[str, Result]) -> str:
    """One row for each figure, one column for each subject."""
    rows = [["", *results]]
    rows += [
        [title, *(cell(one.figures.get(figure)) for one in results.values())]
        for title, figure in ROWS
        if any(figure in one.figures for one in results.values())
    ]
    rows += [
        ["start s, first time", *(_seconds(one, "cold") for one in results.values())],
        ["  later", *(_seconds(one, "warm") for one in results.values())],
        ["answered", *(str(one.answered) for one in results.values())],
        ["failed", *(str(one.failures.total()) for one in results.values())],
    ]
    return aligned(rows)


def cpu_by_process(results: Mapping[str, Result], name: str) -> str:
    """Which process of `name` the CPU of a request goes to, load by load; memory beside it."""
    result = results[name]
    loads = (("saturation", "32 clients"), ("rate50", "50/s"), ("hit", "cache hit"))
    streams = (("stream_chunk", "chunk, fast"), ("paced_chunk", "10 ms apart"))
    columns = [(load, title) for load, title in (*loads, *streams) if f"{load}_cpu_us" in result.figures]
    rows = [["CPU us", *(title for _, title in columns), "PSS MB idle", "after", "RSS MB after"]]
    for process in result.memory_idle:
        cells = [_plain(result.figures.get(f"{load}_cpu_us_{process}")) for load, _ in columns]
        memory = (result.memory_idle[process][0], *result.memory_after.get(process, (0, 0)))
        rows.append([process, *cells, *(f"{size / 2**20:.0f}" for size in memory)])
    totals = [_plain(result.figures.get(f"{load}_cpu_us")) for load, _ in columns]
    sums = (_sum(result.memory_idle, 0), _sum(result.memory_after, 0), _sum(result.memory_after, 1))
    rows.append(["total", *totals, *(f"{size / 2**20:.0f}" for size in sums)])
    return aligned(rows)


def ratios(results: Mapping[str, Result], ours: str, others: Sequence[str]) -> str:
    """Ours to each other, of the medians in the same run."""
    rows = [[f"{ours} to", *others]]
    figures = (("requests/s", "saturation_per_s"), ("CPU/request", "saturation_cpu_us"))
    for title, figure in (*figures, ("CPU/chunk, fast", "stream_chunk_cpu_us")):
        mine = results[ours].figures[figure].median
        theirs = [results[other].figures.get(figure) for other in others]
        rows.append([title, *(f"{mine / one.median:.2f}" if one and one.median else "-" for one in theirs)])
    return aligned(rows)


def together(results: Mapping[str, Result], askings: Sequence[tuple[str, str, str]]) -> str:
    """Subjects that were asked at the same time: the first as it is, the others as multiples of it in the
    same slice. `askings`: (name, title, what costs are divided by) of each load.
    """
    first, *others = results
    rows = [["ratio in the same slice", first, *others]]
    for name, title, each in askings:
        rows.append([title, *("" for _ in results)])
        latency = "ms" if each == "request" else "first token ms"
        costs = (f"CPU us/{each}", "cpu_us"), (f"wake-ups/{each}", "switches")
        for told, figure in (*costs, (f"{latency}, p50", "p50_ms"), ("  p99", "p99_ms")):
            multiples = [cell(results[one].figures.get(f"{name}_{figure}_ratio")) for one in others]
            base = cell(results[first].figures.get(f"{name}_{figure}"))
            rows.append([f"  {told}", base, *(one if one == "-" else f"x {one}" for one in multiples)])
        for told, figure in (("cache lookups/request", "lookups"), ("share of cache hits", "hits")):
            shares = [one.figures.get(f"{name}_{figure}") for one in results.values()]
            if any(share is not None and share.high for share in shares):
                rows.append([f"  {told}", *(cell(share) for share in shares)])
    return aligned(rows)


def changes(base: Mapping[str, Spread], now: Mapping[str, Spread], noticed: float) -> list[str]:
    """The shown figures that moved by more than `noticed`, and whose turns do not overlap."""
    told = []
    for title, figure in ROWS:
        before, after = base.get(figure), now.get(figure)
        if before is None or after is None or not before.median:
            continue
        change = after.median / before.median - 1
        apart = after.low > before.high or after.high < before.low
        if abs(change) > noticed and apart:
            told.append(f"{figure} ({title.strip()}): {change:+.0%}")
    return told


def cell(spread: Spread | None) -> str:
    """The median; of several turns, with (minimum maximum)."""
    if spread is None:
        return "-"
    if len(spread.turns) == 1:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low)} {_number(spread.high)})"


def _plain(spread: Spread | None) -> str:
    return "-" if spread is None else _number(spread.median)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _seconds(result: Result, name: str) -> str:
    return f"{result.start_s[name]:.1f}" if name in result.start_s else "-"


def _sum(memory: Mapping[str, tuple[int, int]], place: int) -> int:
    return sum(sizes[place] for sizes in memory.values())


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
