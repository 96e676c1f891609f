"""A run as one SVG, by hand: throughput, CPU and latency beside the peers, and where our CPU goes. Pure.

A bar is the median, its whisker minimum to maximum over the turns. A bar that is far beyond ours is cut, says
so with two strokes, and has its number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.session import Result
from bench.statistics import Spread

LABELS = {
    "meshgate": "meshgate",
    "meshgate-memory": "meshgate, cache in memory",
    "litellm-2": "LiteLLM, 2 workers",
    "litellm-1": "LiteLLM, 1 worker",
    "nginx": "nginx, plain proxy",
}
PROCESSES = {
    "edge": "#2f6fdd",
    "router": "#62a0ea",
    "ledger": "#e5a50a",
    "postgresql": "#c64600",
    "cache": "#33a06f",
    "redis": "#1f6b49",
    "rest": "#9aa4b2",
}
LOADS = (("saturation", "32 clients"), ("rate50", "50 requests/s"), ("hit", "cache hits, 50/s"))
CUT_BEYOND = 3.0  # times the longest of ours
WIDTH, LABEL_WIDTH, BAR_WIDTH, ROW, HEAD = 1_080, 172, 250, 22, 46
FONT = 'font-family="sans-serif" font-size="12"'
OURS, OTHERS, INK, PALE = "#2f6fdd", "#9aa4b2", "#24292f", "#57606a"
TOLD = (
    "meshgate has everything on: virtual key, budget, ledger, cache, metrics, log."
    " LiteLLM and nginx have none of it."
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. `beyond`: a second figure, drawn as a line to its value."""

    title: str
    better: str
    figure: str
    beyond: str = ""


PANELS = (
    Panel("Requests per second, 32 clients", "more is better", "saturation_per_s"),
    Panel("CPU per request, microseconds", "less is better", "saturation_cpu_us"),
    Panel(
        "Added latency at 50/s, ms: bar p50, line p99",
        "less is better",
        "rate50_p50_added_ms",
        "rate50_p99_added_ms",
    ),
)


def plot(results: Mapping[str, Result], told: str) -> str:
    """An SVG document; `told` is its small print."""
    shown = {name: results[name] for name in LABELS if name in results}
    column, height_each = WIDTH // 2, HEAD + ROW * (len(shown) + 1)
    height = 40 + 2 * height_each + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" {FONT} fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="24">{escape(TOLD)}</text>',
    ]
    for number, panel in enumerate(PANELS):
        place = f"translate({number % 2 * column} {40 + number // 2 * height_each})"
        parts += [f'<g transform="{place}">', *_panel(panel, shown), "</g>"]
    if "meshgate" in shown:
        place = f"translate({column} {40 + height_each})"
        parts += [f'<g transform="{place}">', *_by_process(shown["meshgate"]), "</g>"]
    parts += [f'<text x="12" y="{height - 10}" font-size="10" fill="{PALE}">{escape(told)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _title(title: str, told: str) -> str:
    pale = f'<tspan font-weight="normal" fill="{PALE}">  {told}</tspan>'
    return f'<text x="12" y="28" font-weight="bold">{title}{pale}</text>'


def _panel(panel: Panel, shown: Mapping[str, Result]) -> Iterator[str]:
    yield _title(panel.title, panel.better)
    bars = {name: one.figures[panel.figure] for name, one in shown.items() if panel.figure in one.figures}
    ends = {name: _end(shown[name], panel, spread) for name, spread in bars.items()}
    longest = max(ends.values(), default=0.0)
    ours = max((end for name, end in ends.items() if name.startswith("meshgate")), default=0.0)
    scale = BAR_WIDTH / (min(longest, CUT_BEYOND * ours or longest) or 1.0)
    for row, (name, spread) in enumerate(bars.items()):
        y, width = HEAD + row * ROW, min(BAR_WIDTH, max(0.0, spread.median * scale))
        colour = OURS if name.startswith("meshgate") else OTHERS
        yield f'<text x="{LABEL_WIDTH - 8}" y="{y + 13}" text-anchor="end">{escape(LABELS[name])}</text>'
        yield f'<rect x="{LABEL_WIDTH}" y="{y + 2}" width="{width:.1f}" height="14" fill="{colour}"/>'
        low, high = (spread.median, ends[name]) if panel.beyond else (spread.low, spread.high)
        left, right = (LABEL_WIDTH + min(BAR_WIDTH, max(0.0, value * scale)) for value in (low, high))
        yield f'<path d="M{left:.1f} {y + 9}H{right:.1f}" stroke="{INK}"/>'
        if ends[name] * scale > BAR_WIDTH + 1:
            x = LABEL_WIDTH + BAR_WIDTH - 12
            yield f'<path d="M{x} {y + 18}l5 -18m4 0l-5 18" stroke="white" stroke-width="2"/>'
        told = _number(spread.median) + (f" / {_number(ends[name])}" if panel.beyond else "")
        yield f'<text x="{max(right, LABEL_WIDTH + width) + 6:.1f}" y="{y + 13}">{told}</text>'


def _end(result: Result, panel: Panel, spread: Spread) -> float:
    """Where the bar or its line ends."""
    beyond = result.figures.get(panel.beyond)
    return max(spread.median, beyond.median) if beyond is not None else spread.high


def _by_process(result: Result) -> Iterator[str]:
    """Stacked: where the CPU of a request goes, load by load."""
    yield _title("meshgate: CPU per request by process", "microseconds")
    loads = [(name, told) for name, told in LOADS if f"{name}_cpu_us" in result.figures]
    scale = BAR_WIDTH / max((result.figures[f"{name}_cpu_us"].median for name, _ in loads), default=1.0)
    for row, (name, told) in enumerate(loads):
        y, x = HEAD + row * ROW, float(LABEL_WIDTH)
        whole = result.figures[f"{name}_cpu_us"].median
        yield f'<text x="{LABEL_WIDTH - 8}" y="{y + 13}" text-anchor="end">{told}</text>'
        for process, used in _shares(result, name, whole):
            width = max(0.0, used * scale)
            colour = PROCESSES[process]
            yield f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="14" fill="{colour}"/>'
            x += width
        yield f'<text x="{x + 6:.1f}" y="{y + 13}">{_number(whole)}</text>'
    for place, (process, colour) in enumerate(PROCESSES.items()):
        x, y = LABEL_WIDTH + place % 4 * 84, HEAD + len(loads) * ROW + 14 + place // 4 * 18
        yield f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y + 9}" font-size="11">{process}</text>'


def _shares(result: Result, load: str, whole: float) -> Sequence[tuple[str, float]]:
    known = [
        (process, result.figures[figure].median)
        for process in PROCESSES
        if (figure := f"{load}_cpu_us_{process}") in result.figures
    ]
    return [*known, ("rest", max(0.0, whole - sum(used for _, used in known)))]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
