"""What calls of one kind add up to: a few sums and distributions, from which every metric family is read.

One object for each set of label values; adding a call to it is all that a request pays for metrics.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from meshgate_edge.call import CallInfo

SHORT_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
LATENCY_BOUNDS_S: Final = (*SHORT_S, 30.0, 60.0, 120.0, 300.0, 420.0, 600.0)
COMPRESSION_BOUNDS_S: Final = (0.001, 0.0025, *SHORT_S)
PERCENT_BOUNDS: Final = (5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0)


class Distribution:
    """A histogram: how many values fell under each bound, not cumulated, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add_all(self, others: Iterable["Distribution"]) -> None:
        """Adds what others hold; all have the same bounds."""
        for other in others:
            self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
            self.sum += other.sum


class Totals:
    """Sums over calls. Money is summed as integers."""

    __slots__ = (
        "calls",
        "completion_tokens",
        "compressed_calls",
        "compressed_tokens",
        "compression_s",
        "cost_usd_nanos",
        "duration_s",
        "first_token_s",
        "original_tokens",
        "overhead_s",
        "per_output_token_s",
        "prompt_tokens",
        "provider_s",
        "saved_percent",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.cost_usd_nanos = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.compressed_calls = 0
        self.original_tokens = 0
        self.compressed_tokens = 0
        self.duration_s = Distribution(LATENCY_BOUNDS_S)
        self.provider_s = Distribution(LATENCY_BOUNDS_S)
        self.overhead_s = Distribution(LATENCY_BOUNDS_S)
        self.first_token_s = Distribution(LATENCY_BOUNDS_S)
        self.per_output_token_s = Distribution(LATENCY_BOUNDS_S)
        self.saved_percent = Distribution(PERCENT_BOUNDS)
        self.compression_s = Distribution(COMPRESSION_BOUNDS_S)

    @property
    def cost_usd(self) -> float:
        return self.cost_usd_nanos / 1e9

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, info: CallInfo) -> None:
        """Adds one call."""
        self.calls += 1
        self.cost_usd_nanos += info.cost_usd_nanos or 0
        self.prompt_tokens += info.prompt_tokens
        self.completion_tokens += info.completion_tokens
        self.duration_s.add(info.duration_s)
        provider_s = info.provider_duration_s
        if provider_s:
            self.provider_s.add(provider_s)
            self.overhead_s.add(max(0.0, info.duration_s - provider_s))
            if info.completion_tokens:
                self.per_output_token_s.add(provider_s / info.completion_tokens)
        if info.first_token_s is not None:
            self.first_token_s.add(info.first_token_s)
        if info.compression_duration_s is not None:
            self.compression_s.add(info.compression_duration_s)
        if info.original_prompt_tokens and info.compressed_prompt_tokens is not None:
            self.compressed_calls += 1
            self.original_tokens += info.original_prompt_tokens
            self.compressed_tokens += info.compressed_prompt_tokens
            self.saved_percent.add(100.0 * (1 - info.compressed_prompt_tokens / info.original_prompt_tokens))
