"""When a rival is asked and how often at most: the arithmetic, with a clock of the test's own."""

from random import Random

import pytest

from meshgate_chassis.config.model import HedgingConfig
from meshgate_router.hedge_rate import (
    SAMPLE_AGE_S_MAX,
    SAMPLES_MIN,
    WINDOW_S,
    ExtraCalls,
    FirstTokenTimes,
    HedgeRate,
)

CONFIG = HedgingConfig(enabled=True)


def test_nothing_is_hedged_before_enough_is_known() -> None:
    """And the wait is never below its minimum."""
    subject = HedgeRate(CONFIG)
    delays = []
    for number in range(SAMPLES_MIN + 1):
        delays.append(subject.called(float(number)))
        subject.took(float(number), 0.001)

    assert [None] * SAMPLES_MIN == delays[:-1]
    assert CONFIG.delay_min_s == delays[-1]


def test_the_quantile_is_a_lower_bound_and_forgets() -> None:
    """Of a thousand times, the latest five hundred; and none that is older than ten minutes."""
    subject = FirstTokenTimes()
    for number in range(1_000):
        subject.add(float(number) / 100.0, float(number))
    quantile = subject.lower_quantile(0.95)
    assert quantile is not None

    assert 950.0 <= quantile <= 975.0
    assert 500 + 490 <= (subject.lower_quantile(1.0) or 0)
    for number in range(SAMPLES_MIN):
        subject.add(10.0 + SAMPLE_AGE_S_MAX + number, 1.0)
    assert 1.0 == subject.lower_quantile(0.95)


def test_extra_calls_are_a_share_of_the_calls_in_the_window() -> None:
    """One of twenty; what was long ago earns nothing."""
    subject = ExtraCalls(0.05)
    for _ in range(39):
        subject.called(0.0)
    assert [True, False] == [subject.take(0.0), subject.take(0.0)]
    subject.called(1.0)
    assert [True, False] == [subject.take(1.0), subject.take(1.0)]

    assert not subject.take(WINDOW_S + 20.0)
    for _ in range(20):
        subject.called(WINDOW_S + 20.0)
    assert subject.take(WINDOW_S + 20.0)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("slow_share", [0.03, 0.05])
def test_a_tail_is_cut_at_the_cost_of_few_calls(seed: int, slow_share: float) -> None:
    """Simulated: some calls are ten times slower to the first token. The 99th percentile falls by 60 % and
    more, and of a hundred calls at most five are made twice; the wait does not creep away in the long run."""
    random, subject = Random(seed), HedgeRate(CONFIG)
    now_s, extra = 0.0, 0
    plain, hedged = [], []

    slow: list[bool] = []

    def first_token_s() -> float:
        if not slow:  # of every hundred calls exactly the share is slow, in any order
            slow.extend(number < 100 * slow_share for number in range(100))
            random.shuffle(slow)
        return random.lognormvariate(-1.2, 0.25) * (10.0 if slow.pop() else 1.0)

    for _ in range(10_000):
        now_s += 0.2
        own_s = first_token_s()
        delay_s = subject.called(now_s)
        took_s = own_s
        if delay_s is not None and own_s > delay_s and subject.may_hedge(now_s):
            extra += 1
            took_s = min(own_s, delay_s + first_token_s())
        subject.took(now_s, took_s)
        plain.append(own_s)
        hedged.append(took_s)

    assert extra <= 0.05 * len(plain)
    for half in (slice(1_000, 5_500), slice(5_500, None)):
        assert percentile(hedged[half], 0.99) <= 0.4 * percentile(plain[half], 0.99)


def test_an_ordinary_spread_is_left_alone_mostly() -> None:
    """Where nothing is slow, the limit holds, and the wait stays at the quantile's height."""
    random, subject = Random(3), HedgeRate(CONFIG)
    extra, delay_s = 0, None
    for number in range(5_000):
        delay_s = subject.called(number * 0.2)
        own_s = random.uniform(1.0, 2.0)
        if delay_s is not None and own_s > delay_s and subject.may_hedge(number * 0.2):
            extra += 1
            own_s = min(own_s, delay_s + random.uniform(1.0, 2.0))
        subject.took(number * 0.2, own_s)
    assert delay_s is not None

    assert extra <= 250
    assert delay_s >= 1.8
