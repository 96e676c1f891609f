"""What is learned of how long answers are."""

from meshgate_ledger.output_quantile import COUNT_FADE, COUNT_MIN, PAIRS_MAX, OutputQuantile


def learned(lengths: list[int], key: str = "k", model: str = "m") -> OutputQuantile:
    outputs = OutputQuantile()
    for length in lengths:
        outputs.learn(key, model, length)
    return outputs


def test_nothing_is_said_of_few_answers() -> None:
    """Then the configured default holds."""
    lengths = [500] * COUNT_MIN
    assert learned(lengths[1:]).usual("k", "m") is None
    assert learned(lengths).usual("k", "m") is not None


def test_it_is_enough_for_most_and_not_much_more() -> None:
    """At least the length that 95 of 100 answers do not pass, and less than a third more."""
    lengths = [100 + 9 * number for number in range(100)]
    usual = learned(lengths).usual("k", "m")
    assert usual is not None
    assert sum(length <= usual for length in lengths) >= 95
    assert usual < 1.3 * lengths[95]


def test_a_key_has_its_own_and_others_the_models() -> None:
    """Of another model nothing is known."""
    outputs = learned([100] * 50, key="short")
    for _ in range(500):
        outputs.learn("long", "m", 4_000)
    short, other = outputs.usual("short", "m"), outputs.usual("new", "m")
    assert short is not None
    assert other is not None
    assert short < 200
    assert other >= 4_000
    assert outputs.usual("short", "n") is None


def test_never_less_than_a_floor() -> None:
    """Answers of a word do not make the next hold nothing."""
    assert 64 == learned([1] * 100).usual("k", "m")


def test_old_answers_fade() -> None:
    """A model that began to talk is held for what it says now."""
    outputs = learned([100] * COUNT_FADE)
    for _ in range(COUNT_FADE):
        outputs.learn("k", "m", 10_000)
    usual = outputs.usual("k", "m")
    assert usual is not None
    assert usual >= 10_000


def test_memory_is_bounded() -> None:
    """The pairs that were learned first are forgotten first."""
    outputs = OutputQuantile()
    for number in range(PAIRS_MAX + 10):
        outputs.learn("", f"m{number}", 1)
    for _ in range(COUNT_MIN):
        outputs.learn("", "m5", 100)
    assert len(outputs) == PAIRS_MAX
