"""Four bar charts as one SVG, by hand: the median as the bar, minimum to maximum as the whisker. Pure."""

from collections.abc import Iterator, Mapping
from html import escape

from bench.session import Result
from bench.statistics import Spread

PANELS = (
    ("requests per second, 32 clients", "saturation_per_s"),
    ("CPU per request, microseconds", "saturation_cpu_us"),
    ("added latency at 50/s, p50, milliseconds", "rate50_p50_added_ms"),
    ("CPU per chunk of a stream, microseconds", "stream_chunk_cpu_us"),
)
LEFT_OUT = ("direct",)  # no gateway: its bar would be the scale
LABEL_WIDTH, BAR_WIDTH, ROW, TOP = 150, 420, 22, 44
FONT = 'font-family="sans-serif" font-size="12"'
OURS, OTHERS, INK = "#2f6fdd", "#9aa4b2", "#24292f"


def plot(results: Mapping[str, Result], told: str) -> str:
    """An SVG document; `told` is its small print."""
    shown = {name: one for name, one in results.items() if name not in LEFT_OUT}
    height_each = TOP + ROW * len(shown)
    height = height_each * len(PANELS) + 30
    size = f'width="720" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT} fill="{INK}">',
        f'<rect width="720" height="{height}" fill="white"/>',
    ]
    for number, (title, figure) in enumerate(PANELS):
        parts.append(f'<text x="12" y="{number * height_each + 28}" font-weight="bold">{title}</text>')
        bars = {name: one.figures[figure] for name, one in shown.items() if figure in one.figures}
        parts += _bars(bars, number * height_each + TOP)
    parts += [f'<text x="12" y="{height - 10}" font-size="10">{escape(told)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _bars(bars: Mapping[str, Spread], top: int) -> Iterator[str]:
    scale = BAR_WIDTH / max([spread.high for spread in bars.values() if spread.high > 0], default=1)
    for row, (name, spread) in enumerate(bars.items()):
        y, width = top + row * ROW, max(0.0, spread.median * scale)
        colour = OURS if name.startswith("meshgate") else OTHERS
        low, high = (LABEL_WIDTH + max(0.0, value * scale) for value in (spread.low, spread.high))
        yield f'<text x="{LABEL_WIDTH - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LABEL_WIDTH}" y="{y + 2}" width="{width:.1f}" height="14" fill="{colour}"/>'
        yield f'<path d="M{low:.1f} {y + 9}H{high:.1f}" stroke="{INK}"/>'
        yield f'<text x="{max(high, LABEL_WIDTH + width) + 8:.1f}" y="{y + 13}">{spread.median:,.4g}</text>'
