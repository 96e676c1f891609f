"""The threshold of a semantic hit: calibrated for a rate, and learned from reports of wrong hits."""

import pytest

from meshgate_cache.semantic.coefficients import THRESHOLDS
from meshgate_cache.semantic.score import NEVER, REPORTS_MIN, Threshold, threshold_for

RATES = sorted({rate for rate, _ in THRESHOLDS})


def test_a_stricter_rate_is_never_a_lower_threshold() -> None:
    """And a rate that nobody has calibrated lets nothing through."""
    values = [threshold_for(rate) for rate in RATES]

    assert values == sorted(values, reverse=True)
    assert threshold_for(min(RATES) / 2) == NEVER


@pytest.mark.parametrize("rate", RATES)
def test_more_reports_than_are_allowed_make_it_stricter(rate: float) -> None:
    """Step by step, never back, until nothing hits; and each step begins to count anew."""
    threshold = Threshold(rate)
    seen = [threshold.value]
    while threshold.value < NEVER and len(seen) <= len(THRESHOLDS):
        for _ in range(REPORTS_MIN):
            threshold.hit()
            threshold.reported()
        assert (0, 0) == (threshold.hit_count, threshold.report_count)
        seen.append(threshold.value)

    assert seen[0] == threshold_for(rate)
    assert seen == sorted(set(seen))
    assert seen[-1] == NEVER


def test_reports_within_the_rate_change_nothing() -> None:
    """Nor do too few of them to tell."""
    threshold = Threshold(max(RATES))
    before = threshold.value
    for _ in range(REPORTS_MIN - 1):
        threshold.reported()
    assert threshold.value == before

    threshold = Threshold(max(RATES))
    for _ in range(int(2 * REPORTS_MIN / max(RATES))):
        threshold.hit()
    for _ in range(REPORTS_MIN):
        threshold.reported()
    assert threshold.value == before
